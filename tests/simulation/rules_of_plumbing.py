"""The rules of the SQL that every service has: positions, replays, leases, dead letters, the lane."""

import dataclasses
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, cast

from aiokafka import TopicPartition
from sqlalchemy.ext.asyncio import AsyncConnection

from shared import dead_letters, lane_row, lease, positions, replays
from shared.dead_letters import DeadLetter
from shared.lane import Lane
from shared.lane_rules import FAILURES_TO_OPEN
from shared.outcome import Done, NothingDone, RateLimited
from shared.positions import Move
from tests.simulation import plumbing_store
from tests.simulation.database import Tables, tables_of
from tests.simulation.situations import ONE, OTHER, At, Rule, over, record, refused

PLACE = TopicPartition("TicketLinked", 0)
NEXT = TopicPartition("TicketLinked", 1)
LAST = TopicPartition("TicketLinked", 2)


async def position_stands_elsewhere(at: At) -> AsyncIterator[object]:
    """A zombie moves a position that another has moved."""
    connection = await at(0)
    yield await positions.begin(connection, [PLACE, NEXT])
    yield await positions.move(connection, [Move(PLACE, known=0, end=5)])
    yield await positions.move(connection, [Move(PLACE, known=0, end=9)])
    yield await positions.read(connection, ["TicketLinked"])


async def topic_made_anew_in_a_replay(at: At) -> AsyncIterator[object]:
    """A topic is made anew while it is read again, and the fold goes back to its start."""
    connection = await at(0)
    await positions.put(connection, {PLACE: 9, NEXT: 9, LAST: 9})
    await over(connection, _replay, _model_replay)(connection, {0: 4, 1: 4, 2: 0})
    yield await replays.running(connection, "TicketLinked")
    yield await positions.move(connection, [Move(PLACE, known=4, end=2), Move(LAST, known=0, end=0)])
    yield await positions.move(connection, [Move(NEXT, known=4, end=9)])
    yield await replays.running(connection, "TicketLinked")


async def lease_of_another(at: At) -> AsyncIterator[object]:
    """Somebody holds the lease; it runs out; the one before gives it back."""
    connection = await at(0)
    yield await lease.take(connection, "announce", ONE, seconds=10)
    yield await lease.take(connection, "announce", OTHER, seconds=10)
    connection = await at(9)
    yield await lease.take(connection, "announce", ONE, seconds=10)
    connection = await at(18)
    yield await lease.take(connection, "announce", OTHER, seconds=10)
    connection = await at(20)
    yield await lease.take(connection, "announce", OTHER, seconds=10)
    await lease.give_back(connection, "announce", ONE)
    yield await lease.take(connection, "announce", ONE, seconds=10)
    await lease.give_back(connection, "announce", OTHER)
    yield await lease.take(connection, "announce", ONE, seconds=10)


async def dead_letter_read_again(at: At) -> AsyncIterator[object]:
    """The same record twice, then another at its place; the first is published."""
    connection = await at(0)
    first = DeadLetter(record(7), "malformed_json", "not JSON")
    yield await dead_letters.keep(connection, [first])
    yield await dead_letters.keep(connection, [first])
    connection = await at(1)
    yield await dead_letters.keep(connection, [DeadLetter(record(7, value=b"{"), "malformed_json", "not JSON")])
    [published, _] = await dead_letters.unpublished(connection, limit=10)
    await dead_letters.mark_published(connection, [published])
    yield await dead_letters.unpublished(connection, limit=10)
    await dead_letters.forget_published(connection)
    yield await dead_letters.unpublished(connection, limit=10)


async def lane_is_stopped(at: At) -> AsyncIterator[object]:
    """Several failures in a row; one request a second is let through then, and one of before says nothing."""
    connection = await at(0)
    lane = _lane()
    await lane_row.open_again(connection, "any")
    before = await lane.look(connection)
    for _ in range(FAILURES_TO_OPEN):
        yield (await lane.look(connection)).reason
        await lane.judge(connection, NothingDone("refused"), before)
    stopped = await lane.look(connection)
    yield stopped
    yield await refused(lane.enter(connection, stopped))
    connection = await at(1)
    yield [await refused(lane.enter(connection, stopped)) for _ in range(2)]
    yield await lane.judge(connection, Done({}), before)
    yield await lane.judge(connection, Done({}), stopped)
    opened = await lane.look(connection)
    yield opened
    yield [await refused(lane.enter(connection, opened)) for _ in range(4)]


async def lane_lets_one_through(at: At) -> AsyncIterator[object]:
    """What must not be repeated meets an outage: each request that is let through waits for a ping, and counts."""
    connection = await at(0)
    lane = dataclasses.replace(_lane(), repeatable_with="idempotency-key")
    await lane_row.open_again(connection, "any")
    before = await lane.look(connection)
    for _ in range(FAILURES_TO_OPEN):
        await lane.judge(connection, NothingDone("refused"), before)
    await lane.judge(connection, NothingDone("refused"), before)
    yield (await lane.look(connection)).failures
    connection = await at(60)
    stopped = await lane.look(connection)
    yield await refused(lane.enter(connection, stopped))
    await lane_row.let_probe(connection)
    yield [await refused(lane.enter(connection, stopped)) for _ in range(2)]
    await lane.judge(connection, NothingDone("refused"), stopped)
    yield await lane.look(connection)
    await lane_row.stop(connection, "unauthorized", "401", None)
    await lane_row.let_probe(connection)
    yield await lane.look(connection)


async def lane_fails_once_it_was_limited(at: At) -> AsyncIterator[object]:
    """What was sent before a rate limit fails, and then what was let through after it."""
    connection = await at(0)
    lane = _lane()
    await lane_row.open_again(connection, "any")
    before = await lane.look(connection)
    await lane.judge(connection, RateLimited("slower", 60), before)
    yield await lane_row.count_failure(connection, "open")
    yield await lane_row.count_failure(connection, "rate_limited")
    yield await lane_row.count_failure(connection, "any")


async def lane_waits_as_asked(at: At) -> AsyncIterator[object]:
    """The cloud asks to wait for long, and then a request of before is asked to wait for less."""
    connection = await at(0)
    lane = _lane()
    await lane.judge(connection, RateLimited("slower", 60), None)
    await lane.judge(connection, RateLimited("slower", 5), None)
    yield await lane.look(connection)
    probe = await lane.look(connection)
    yield await lane_row.open_again(connection, probe.reason)
    yield await lane.look(connection)
    for _ in range(FAILURES_TO_OPEN):
        await lane.judge(connection, NothingDone("refused"), probe)
    yield await lane.look(connection)


async def lane_lets_one_through_as_asked(at: At) -> AsyncIterator[object]:
    """The cloud asks to wait, and is out then; a ping is answered before the wait is over, and another after it."""
    connection = await at(0)
    lane = dataclasses.replace(_lane(), repeatable_with="idempotency-key")
    await lane.judge(connection, RateLimited("slower", 60), None)
    limited = await lane.look(connection)
    for _ in range(FAILURES_TO_OPEN):
        await lane.judge(connection, NothingDone("refused"), limited)
    yield await lane.look(connection)
    for seconds in (30, 61):
        connection = await at(seconds)
        await lane_row.let_probe(connection)
        yield await lane.look(connection)
        yield await refused(lane.enter(connection, await lane.look(connection)))


async def lane_has_a_limit(at: At) -> AsyncIterator[object]:
    """60 requests a minute, two of them at once; and pings of two replicas."""
    connection = await at(0)
    lane = _lane(requests_per_minute=60)
    await lane_row.open_again(connection, "any")
    state = await lane.look(connection)
    yield [await refused(lane.enter(connection, state)) for _ in range(2)]
    yield [await lane_row.take_ping(connection, 3.0) for _ in range(2)]
    connection = await at(1)
    yield await refused(lane.enter(connection, state))
    yield await lane_row.take_ping(connection, 3.0)
    connection = await at(3)
    yield await lane_row.take_ping(connection, 3.0)


def _lane(requests_per_minute: int | None = None) -> Lane:
    nothing = cast("Any", None)
    return Lane(nothing, nothing, nothing, wake=nothing, ping_every_s=60, requests_per_minute=requests_per_minute)


async def _replay(connection: AsyncConnection, starts: Mapping[int, int]) -> None:
    stretches = await replays.plan(connection, "TicketLinked", starts)
    await replays.begin(connection, "TicketLinked", stretches, asked_by=None)


async def _model_replay(connection: AsyncConnection, starts: Mapping[int, int]) -> None:
    plumbing_store.replay(tables_of(connection, Tables), "TicketLinked", starts)


RULES: Sequence[Rule] = (
    Rule(
        "position not compared",
        "a batch is stored wherever its partitions stand",
        "linker",
        position_stands_elsewhere,
        [("and position.next_offset = u.known", "")],
    ),
    Rule(
        "replay outlives its topic",
        "a topic that was made anew is read as far as the one before was to be",
        "linker",
        topic_made_anew_in_a_replay,
        [("case when u.next_offset > u.known then replay_until end", "replay_until")],
    ),
    Rule(
        "replay of nothing outlives its topic",
        "so it is if it had not read anything yet",
        "linker",
        topic_made_anew_in_a_replay,
        [("u.next_offset > u.known", "u.next_offset >= u.known")],
    ),
    Rule(
        "announcer's lease taken from its holder",
        "whoever asks for a lease gets it",
        "linker",
        lease_of_another,
        [("where lease.token = excluded.token or lease.until < now()", "")],
    ),
    Rule(
        "lease given back by another",
        "who has lost a lease ends that of the next",
        "linker",
        lease_of_another,
        [("and token =", "and true or token =")],
    ),
    Rule(
        "dead letter counted again",
        "a record that is a dead letter already is another one when it is read again",
        "linker",
        dead_letter_read_again,
        [("where dead_letter.settled_as = 'redriven'", "")],
    ),
    Rule(
        "dead letter published again",
        "a dead letter that its topic has is to be published",
        "linker",
        dead_letter_read_again,
        [("from dead_letter where published_at is null", "from dead_letter")],
    ),
    Rule(
        "dead letter left with another Kafka",
        "what a Kafka that is no more had acknowledged is not published to the one in its place",
        "linker",
        dead_letter_read_again,
        [("set published_at = null where published_at is not null", "set published_at = published_at where true")],
    ),
    Rule(
        "probe without a turn",
        "while a lane is stopped everybody may send",
        "transfer",
        lane_is_stopped,
        [("where probe_at <= now()", "")],
    ),
    Rule(
        "lane opened by what was sent before",
        "a request that was under way when the lane was stopped opens it",
        "transfer",
        lane_is_stopped,
        [("and (reason is null or", "and (true or")],
    ),
    Rule(
        "probe not counted",
        "a request that is let through in an outage, and never reported, does not make the next one wait longer",
        "transfer",
        lane_lets_one_through,
        [("failures + case when reason = 'circuit_open' then 1 else 0 end", "failures")],
    ),
    Rule(
        "failures of an open circuit counted twice",
        "what was under way as the circuit opened makes it wait as if it had been let through",
        "transfer",
        lane_lets_one_through,
        [("where reason is distinct from 'circuit_open'", "where true")],
    ),
    Rule(
        "let through whatever the reason",
        "an answered ping lets a request through that the token forbids",
        "transfer",
        lane_lets_one_through,
        [("where reason = 'circuit_open' and probe_at is null", "where probe_at is null")],
    ),
    Rule(
        "failures of before counted",
        "what was sent before the cloud asked to wait ends that wait, if it fails",
        "transfer",
        lane_fails_once_it_was_limited,
        [("in ('any', coalesce(reason, 'open'))", "is not null")],
    ),
    Rule(
        "all let go at once",
        "a cloud that has come back is met by all that has gathered",
        "transfer",
        lane_is_stopped,
        [("and (allowance > 0 or probe_at <= now())", "")],
    ),
    Rule(
        "shorter wait than asked for",
        "whoever asked last to wait decides, and not who asked for longest",
        "transfer",
        lane_waits_as_asked,
        [("greatest(wait.ends_at, case when", "greatest(wait.ends_at, case when false and")],
    ),
    Rule(
        "wait ended by a ping",
        "in an outage a ping lets a request through before the time that the cloud has named",
        "transfer",
        lane_lets_one_through_as_asked,
        [("greatest(now(), not_before) where", "now() where")],
    ),
    Rule(
        "wait forgotten in an outage",
        "a request that fails takes back what the cloud has asked for",
        "transfer",
        lane_lets_one_through_as_asked,
        [("ends_at) else not_before end", "ends_at) end")],
    ),
    Rule(
        "wait ended by what was sent before",
        "a request that was under way when the cloud asked to wait ends that wait, if it succeeds",
        "transfer",
        lane_waits_as_asked,
        [("and not (reason is not distinct from 'rate_limited'", "and not (false")],
    ),
    Rule(
        "limit of requests not kept",
        "each replica sends as if it were alone",
        "transfer",
        lane_has_a_limit,
        [("where next_request_at is null or next_request_at <= now()", "")],
    ),
    Rule(
        "ping of everybody",
        "each replica pings",
        "transfer",
        lane_has_a_limit,
        [("where pinged_at is null or pinged_at <= now() -", "where true or now() <> now() -")],
    ),
)
