"""Folds TicketLinked, this service's own facts: what was announced, and what a lost or older database once knew.

In: the events of one batch. Out: the version heard last of each recording, by which a link is known to be announced;
links that the topic knows better than the row; parked requests that turn out to be done. In daily work it only hears,
and what it hears is what was announced a moment ago: then no more is read of it than says so.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.events import TicketLinked
from services.linker.decide_own_links import Heard, Lift, TakeOver, decide_own_link
from services.linker.link_rows import LinkRow
from services.linker.store_links import Links
from services.linker.store_parked import Parked
from shared.batch import Folded
from shared.own_records import Skimmed
from shared.reading import Incoming


async def new_own_links(skimmed: Sequence[Skimmed], connection: AsyncConnection) -> Collection[int]:
    """None if all of them are links as they stand here; those are heard then.

    Else all: what is learned locks links, and whatever is only heard beside it has to wait for that, in one order.
    """
    told = {(key, order[0], request_id) for key, order, request_id in skimmed}
    return () if await Links(connection).hear_newest(told) else range(len(skimmed))


async def fold_ticket_linked(batch: Sequence[Incoming[TicketLinked]], connection: AsyncConnection) -> Folded:
    """Learn from our own facts."""
    links = Links(connection)
    facts: dict[str, list[TicketLinked]] = defaultdict(list)
    for incoming in batch:
        facts[incoming.event.recording_id].append(incoming.event)
    heard = {recording_id: told[-1].link_version for recording_id, told in facts.items()}

    known = await links.versions(facts)
    news = {one: told for one, told in facts.items() if not _is_echo(told, known.get(one))}
    changed = {one: version for one, version in heard.items() if one in news or _is_change(version, known[one])}

    # Most of what is heard is what was announced a moment ago; all other rows are locked, and at once: what is learned
    # and what is only heard would be two orders.
    echoes = {one: version for one, version in changed.items() if one not in news and version == known[one][0]}
    others = {one: version for one, version in changed.items() if one not in echoes}
    if news:
        await links.lock(others)
    newer = await _learn(news, links)
    if others:
        await links.hear(others)
    if echoes:
        await links.strike_off(echoes)
    if news:
        await Parked(connection).settle_announced([fact for told in news.values() for fact in told])
    return Folded(newer=newer, wake=("announce_links",) if others else ())


def _is_change(heard_version: int, known: tuple[int, str, bool]) -> bool:
    """Whether the row says of this last word something else than that it was heard, or was not."""
    link_version, _, was_heard = known
    return was_heard != (heard_version == link_version)


def _is_echo(told: Sequence[TicketLinked], known: tuple[int, str, bool] | None) -> bool:
    """Whether nothing of this says more than the row."""
    return known is not None and all(
        fact.link_version < known[0] or (fact.link_version, str(fact.request_id)) == known[:2] for fact in told
    )


async def _learn(news: dict[str, list[TicketLinked]], links: Links) -> int:
    current = await links.current(news)
    taken: list[LinkRow] = []
    lifted: dict[str, int] = {}
    for recording_id, told in news.items():
        match decide_own_link(told, current.get(recording_id)):
            case TakeOver(fact, link_version):
                taken.append(LinkRow.of_fact(fact, link_version))
            case Lift(link_version):
                lifted[recording_id] = link_version
            case Heard():
                pass
    if taken:
        await links.store(taken)
    if lifted:
        await links.lift(lifted)
    return len(taken) + len(lifted)
