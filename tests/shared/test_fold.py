"""The fold on genuine Kafka: every record is applied exactly once or is a dead letter, whatever happens meanwhile."""

import asyncio
from collections.abc import Sequence

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.events import TicketLinked
from shared import fold, topics
from shared.batch import Folded
from shared.consumer import CarefulConsumer
from shared.fold import LOOK_EVERY_S
from shared.producer import Outgoing
from shared.reading import Incoming
from tests.shared.folding import Process, publish, running_process, until, until_read
from tests.shared.things import Things, a_record, fold_things


def _records(things: Things, count: int, *, version: int = 1) -> list[Outgoing]:
    return [a_record(things.topic, f"R{number:04}", version) for number in range(count)]


async def test_every_record_is_applied_once_and_the_positions_say_so(
    things: Things, kafka_bootstrap_servers: str
) -> None:
    await publish(kafka_bootstrap_servers, _records(things, 700))

    async with running_process(things, kafka_bootstrap_servers, batch_records=100) as process:
        await until_read(things, kafka_bootstrap_servers)
        await publish(kafka_bootstrap_servers, _records(things, 50, version=2))
        await until_read(things, kafka_bootstrap_servers)

    assert (await things.applied(), await things.times_applied()) == (750, {1})
    assert sum((await things.positions()).values()) == 750
    assert set(process.woken) == {"announce"}


async def test_a_poll_takes_as_much_of_every_partition(things: Things, kafka_bootstrap_servers: str) -> None:
    """What belongs together is spread over them, such as the links of a folder: it comes together."""
    await publish(kafka_bootstrap_servers, _records(things, 400))
    async with CarefulConsumer(bootstrap_servers=kafka_bootstrap_servers, enable_auto_commit=False) as consumer:
        consumer.assign([TopicPartition(things.topic.name, number) for number in range(2)])
        await consumer.seek_to_beginning()

        async def both_have_come() -> bool:
            return len(await consumer.getmany(max_records=2)) == 2

        await until(both_have_come)
        polled = await consumer.getmany(max_records=40)

    assert {place.partition: len(records) for place, records in polled.items()} == {0: 20, 1: 20}


async def test_a_process_goes_on_where_the_one_before_it_stopped(things: Things, kafka_bootstrap_servers: str) -> None:
    for version in (1, 2, 3):
        await publish(kafka_bootstrap_servers, _records(things, 20, version=version))
        async with running_process(things, kafka_bootstrap_servers, service="same"):
            await until_read(things, kafka_bootstrap_servers)

    assert (await things.applied(), await things.times_applied()) == (60, {1})


async def test_what_cannot_be_applied_is_a_dead_letter_and_its_neighbours_are_applied(
    things: Things, kafka_bootstrap_servers: str
) -> None:
    good = a_record(things.topic, "R1")
    with_another_type = [
        ("ce_type", b"another") if name == "ce_type" else (name, value) for name, value in good.headers
    ]
    bad = {
        "malformed_json": good._replace(value=b"{"),
        "schema_invalid": good._replace(value=b'{"recording_id": "R1"}'),
        "bad_header": good._replace(headers=[("content-type", b"\xff\xfe")]),
        "key_mismatch": good._replace(key=b"R2"),
        "unknown_type": good._replace(headers=with_another_type),
        "unstorable": a_record(things.topic, "R1", 666),
    }
    odd_but_fine = good._replace(headers=[*good.headers, ("x-other", b"\xff"), ("x-none", None)])  # type: ignore[list-item]
    tombstone = good._replace(value=None)  # type: ignore[arg-type]
    sent = [good, bad["malformed_json"], odd_but_fine, *list(bad.values())[1:], tombstone, a_record(things.topic, "R3")]
    await publish(kafka_bootstrap_servers, [*sent, *_records(things, 10)])

    async with running_process(things, kafka_bootstrap_servers):
        await until_read(things, kafka_bootstrap_servers)

    assert {reason for reason, _ in await things.dead_letters()} == set(bad)
    assert len(await things.dead_letters()) == len(bad)
    assert (await things.applied(), await things.times_applied()) == (3 + 10, {1})
    rows = await things.rows("select key, value, error from dead_letter where reason = 'key_mismatch'")
    assert [(row["key"], row["value"]) for row in rows] == [(b"R2", good.value)]


async def test_a_dead_letter_says_the_rule_and_never_the_content(things: Things, kafka_bootstrap_servers: str) -> None:
    ticket = b'{"ticket_id": "SECRET\\u0000"}'
    secret = b'{"recording_id": "R1", "link_version": "SECRET", "filename": 7, "ticket_info": %s}' % ticket
    await publish(kafka_bootstrap_servers, [Outgoing(things.topic.name, b"R1", secret, [])])

    async with running_process(things, kafka_bootstrap_servers):
        await until(things.dead_letters)

    ((reason, error),) = await things.dead_letters()
    assert reason == "schema_invalid"
    assert "link_version" in error
    assert "SECRET" not in error


async def test_a_record_that_cannot_be_stored_is_found_among_many(things: Things, kafka_bootstrap_servers: str) -> None:
    records = _records(things, 300)
    for place, version in ((17, 666), (150, 666), (299, 666)):
        records[place] = a_record(things.topic, f"X{place}", version)
    await publish(kafka_bootstrap_servers, records)

    async with running_process(things, kafka_bootstrap_servers):
        await until_read(things, kafka_bootstrap_servers)

    assert (
        await things.dead_letters()
        == [("unstorable", "PostgreSQL refuses the values: rule thing_version_check of table thing (23514)")] * 3
    )
    assert (await things.applied(), await things.times_applied()) == (297, {1})


async def test_positions_moved_back_under_the_running_process_are_a_replay(
    things: Things, kafka_bootstrap_servers: str
) -> None:
    await publish(kafka_bootstrap_servers, _records(things, 100))
    async with running_process(things, kafka_bootstrap_servers):
        await until_read(things, kafka_bootstrap_servers)
        await things.change("update position set next_offset = 0")

        async def replayed() -> bool:
            return await things.times_applied() == {2}

        await until(replayed)
        await until_read(things, kafka_bootstrap_servers)

    assert await things.applied() == 100


async def test_positions_moved_forward_skip_what_somebody_else_has_done(
    things: Things, kafka_bootstrap_servers: str
) -> None:
    async with running_process(things, kafka_bootstrap_servers):
        await publish(kafka_bootstrap_servers, _records(things, 10))
        await until_read(things, kafka_bootstrap_servers)
        await things.change("update position set next_offset = next_offset + 5")
        await asyncio.sleep(2 * LOOK_EVERY_S)
        # Rows beyond the topic's end are those of another topic: it is read again from its start.
        await publish(kafka_bootstrap_servers, _records(things, 10, version=2))
        await until_read(things, kafka_bootstrap_servers)

    assert await things.versions() == {f"R{number:04}": 2 for number in range(10)}


@pytest.mark.parametrize("busy", [False, True])
async def test_a_database_that_is_set_back_is_brought_up_to_date(
    things: Things, kafka_bootstrap_servers: str, *, busy: bool
) -> None:
    await publish(kafka_bootstrap_servers, _records(things, 50))
    async with running_process(things, kafka_bootstrap_servers, own=True, batch_records=20) as process:
        await until_read(things, kafka_bootstrap_servers)
        await process.gate.wait_open()
        await things.keep_copy()
        await publish(kafka_bootstrap_servers, _records(things, 150, version=2))
        await until_read(things, kafka_bootstrap_servers)
        more = _records(things, 400, version=3)
        publishing = asyncio.create_task(publish(kafka_bootstrap_servers, more if busy else more[:0]))
        await things.set_back()
        await publishing
        if not busy:
            await until(lambda: _is_closed(process), within_s=5)
        await until_read(things, kafka_bootstrap_servers)
        await process.gate.wait_open()

    newest = 3 if busy else 2
    assert {name: version for name, version in (await things.versions()).items() if int(name[1:]) < 150} == {
        f"R{number:04}": newest for number in range(150)
    }
    assert await things.times_applied() == {1}
    assert await things.applied() == 200 + (400 if busy else 0)


async def _is_closed(process: Process) -> bool:
    return not process.gate.is_open


async def test_two_owners_share_the_partitions_and_apply_each_record_once(
    things: Things, kafka_bootstrap_servers: str
) -> None:
    async with running_process(things, kafka_bootstrap_servers, service="two", batch_records=50) as first:
        await publish(kafka_bootstrap_servers, _records(things, 200))
        async with running_process(things, kafka_bootstrap_servers, service="two", batch_records=50) as second:

            async def shared() -> bool:
                return len(first.fold.assigned) == len(second.fold.assigned) == 1

            await publish(kafka_bootstrap_servers, _records(things, 200, version=2))
            await until(shared)
            await publish(kafka_bootstrap_servers, _records(things, 200, version=3))
            await until_read(things, kafka_bootstrap_servers)
        await publish(kafka_bootstrap_servers, _records(things, 200, version=4))
        await until_read(things, kafka_bootstrap_servers)

    assert (await things.applied(), await things.times_applied()) == (800, {1})


async def test_a_zombie_that_still_believes_in_its_partitions_changes_nothing(
    things: Things, kafka_bootstrap_servers: str
) -> None:
    """Two groups stand for two processes that both think that a partition is theirs."""
    async with (
        running_process(things, kafka_bootstrap_servers, service="one", batch_records=10),
        running_process(things, kafka_bootstrap_servers, service="other", batch_records=10),
    ):
        for version in range(1, 6):
            await publish(kafka_bootstrap_servers, _records(things, 100, version=version))
        await until_read(things, kafka_bootstrap_servers)

    assert (await things.applied(), await things.times_applied()) == (500, {1})


async def test_a_handler_that_fails_for_a_while_skips_nothing(things: Things, kafka_bootstrap_servers: str) -> None:
    failures = iter([ConnectionResetError(), TimeoutError(), ConnectionResetError()])

    async def apply(batch: Sequence[Incoming[TicketLinked]], connection: AsyncConnection) -> Folded:
        folded = await fold_things(batch, connection)
        for failure in failures:
            raise failure
        return folded

    await publish(kafka_bootstrap_servers, _records(things, 60))
    async with running_process(things, kafka_bootstrap_servers, apply=apply, batch_records=15):
        await publish(kafka_bootstrap_servers, _records(things, 60, version=2))
        await until_read(things, kafka_bootstrap_servers)

    assert (await things.applied(), await things.times_applied()) == (120, {1})


async def test_a_defect_in_a_handler_ends_the_process_and_moves_nothing(
    things: Things, kafka_bootstrap_servers: str
) -> None:
    async def apply(batch: Sequence[Incoming[TicketLinked]], connection: AsyncConnection) -> Folded:
        await fold_things(batch, connection)
        raise KeyError("a defect")

    await publish(kafka_bootstrap_servers, _records(things, 10))
    async with running_process(things, kafka_bootstrap_servers, apply=apply) as process:
        with pytest.raises(KeyError):
            await asyncio.wait_for(process.watching, 10)

    assert await things.applied() == 0
    assert set((await things.positions()).values()) == {0}


async def test_a_lost_database_connection_skips_nothing(things: Things, kafka_bootstrap_servers: str) -> None:
    async with running_process(things, kafka_bootstrap_servers, batch_records=20):
        for version in range(1, 5):
            await publish(kafka_bootstrap_servers, _records(things, 60, version=version))
            await things.change(
                "select pg_terminate_backend(pid) from pg_stat_activity "
                "where datname = current_database() and pid <> pg_backend_pid()"
            )
        await until_read(things, kafka_bootstrap_servers)

    assert (await things.applied(), await things.times_applied()) == (240, {1})


async def test_what_needs_the_gate_waits_for_it(things: Things, kafka_bootstrap_servers: str) -> None:
    await publish(kafka_bootstrap_servers, _records(things, 5))
    async with running_process(things, kafka_bootstrap_servers, needs_gate=True) as process:
        # Its own topic is the one that it reads, so as long as the gate is closed it stays closed.
        await asyncio.sleep(2)
        assert not process.gate.is_open
        assert await things.applied() == 0
        assert process.fold.assigned


async def test_a_batch_that_waits_for_something_more_urgent_is_no_gap(
    things: Things, kafka_bootstrap_servers: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fold, "LOOK_EVERY_S", 0.02)
    async with running_process(things, kafka_bootstrap_servers) as process:
        process.fold.after = asyncio.Event()
        await publish(kafka_bootstrap_servers, _records(things, 5))
        await until(lambda: _is_polled(process))
        await asyncio.sleep(0.3)  # some looks
        meanwhile = (await things.applied(), sum((await things.positions()).values()))
        process.fold.after.set()
        await until_read(things, kafka_bootstrap_servers)

    assert meanwhile == (0, 0)
    assert (await things.applied(), await things.times_applied()) == (5, {1})


async def _is_polled(process: Process) -> bool:
    consumer = process.fold.consumer
    return consumer is not None and sum([await consumer.position(one) for one in process.fold.assigned]) > 0


async def test_no_option_that_could_lose_a_record_is_left_to_a_default(
    things: Things, kafka_bootstrap_servers: str
) -> None:
    async with running_process(things, kafka_bootstrap_servers, service="options", batch_records=321) as process:
        consumer = process.fold.consumer
        assert consumer is not None
        read_back = {
            "auto_commit": consumer._enable_auto_commit,
            "reset": consumer._auto_offset_reset,
            "isolation": consumer._isolation_level,
            "group": consumer._group_id,
            "crc": consumer._fetcher._check_crcs,
            "session_ms": consumer._session_timeout_ms,
            "heartbeat_ms": consumer._heartbeat_interval_ms,
            "max_records": process.fold._subscriber.max_records,
            "partition_bytes": consumer._max_partition_fetch_bytes,
            "listener": process.fold._subscriber._listener is process.fold,
        }

    assert read_back == {
        "auto_commit": False,
        "reset": "earliest",
        "isolation": "read_committed",
        "group": f"ticketsync.options.{things.topic.name}",
        "crc": True,
        "session_ms": 10_000,
        "heartbeat_ms": 2_000,
        "max_records": 321,
        "partition_bytes": 1_000_000,
        "listener": True,
    }


async def test_nothing_is_ever_committed_to_kafka(things: Things, kafka_bootstrap_servers: str) -> None:
    await publish(kafka_bootstrap_servers, _records(things, 5))
    async with running_process(things, kafka_bootstrap_servers, service="uncommitted") as process:
        await until_read(things, kafka_bootstrap_servers)
        assert process.fold.consumer is not None
        committed = [await process.fold.consumer.committed(TopicPartition(things.topic.name, one)) for one in (0, 1)]

    assert committed == [None, None]


async def test_a_topic_that_is_made_anew_is_read_from_its_start(things: Things, kafka_bootstrap_servers: str) -> None:
    await publish(kafka_bootstrap_servers, _records(things, 50))
    async with running_process(things, kafka_bootstrap_servers, service="anew"):
        await until_read(things, kafka_bootstrap_servers)
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka_bootstrap_servers)
    await admin.start()
    await admin.delete_topics([things.topic.name])
    await admin.close()

    async def made_again() -> bool:
        try:
            await topics.apply(kafka_bootstrap_servers, [things.topic])
        except topics.TopicsError:
            return False
        return True

    await until(made_again)
    await publish(kafka_bootstrap_servers, _records(things, 20, version=7))
    async with running_process(things, kafka_bootstrap_servers, service="anew", own=True) as process:
        await process.gate.wait_open()
        rows_when_it_opened = await things.positions()

    assert sum(rows_when_it_opened.values()) == 20
    # What was heard on the topic that is no more is to be announced to this one.
    assert await things.heard() == {f"R{number:04}": 7 if number < 20 else 0 for number in range(50)}
    assert await things.versions() == {f"R{number:04}": 7 if number < 20 else 1 for number in range(50)}
