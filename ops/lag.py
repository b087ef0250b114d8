"""`ticketsync lag`: how far each service is behind its topics, how fast it reads, and when it will have caught up.

Each service says how far it has folded and where the topics end; two looks, a moment apart, tell how fast both move.
Offsets are counted: of a compacted topic fewer records may wait than are said to, never more. Of a service that does
not answer at the second look nothing is known (ops/heard.py); of one that comes back then, all but how fast it is.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.console import RenderableType

from ops import live, show
from ops.addresses import Service, resolve
from ops.answers.reading import Lag, PartitionLag
from ops.exits import WrongInput
from ops.heard import Heard, total
from ops.options import DataDir, Json
from ops.overview import Services, services

OVER_S = 1.0

Looks = Mapping[Service, Lag]


@dataclass(frozen=True)
class Progress:
    """One service on one topic, or on one partition of it. Rates are records a second; None: not seen yet.

    `caught_up_in_s`: if both go on like that; None also if it gets no nearer.
    """

    service: str
    topic: str
    partition: int | None
    behind: int
    oldest_s: float | None
    reads_per_s: float | None
    caught_up_in_s: float | None

    def as_json(self) -> dict[str, Any]:
        """The form that scripts read."""
        return dict(vars(self))


@dataclass(frozen=True)
class Seen:
    """How far those are that answered."""

    items: Sequence[Progress]
    heard: Heard


def lag(
    *,
    partitions: Annotated[bool, typer.Option("--partitions", help="A line for each partition.")] = False,
    over: Annotated[
        float | None,
        typer.Option(
            "--over",
            min=0.1,
            max=60,
            help="Seconds between the two looks that tell the rate; default: 1.",
            show_default=False,
        ),
    ] = None,
    watch: live.Watch = False,
    every: live.Every = None,
    json: Json = False,
    data_dir: DataDir = None,
) -> None:
    """Show how far the services are behind their topics."""
    live.check(watch=watch, every=every)
    if watch and over is not None:
        raise WrongInput("--watch tells the rate from look to look: say --every in place of --over")
    addresses = resolve(data_dir)

    def picture(seen: Seen) -> list[RenderableType]:
        return [_table(seen, partitions=partitions)]

    async def run() -> Seen:
        async with services(addresses) as asked:
            before: Looks = {}

            async def again() -> Seen:
                nonlocal before
                heard = Heard()
                then, before = before, await _look(asked, heard)
                return Seen(progress(then, before, by_partition=partitions), heard)

            await again()
            if watch:
                await live.watch(live.Watched(again, _as_json, picture, _in_one_line), every=every, json_lines=json)
            await asyncio.sleep(over or OVER_S)
            return await again()

    seen = asyncio.run(run())
    if json:
        show.as_json(_as_json(seen))
    else:
        for part in picture(seen):
            show.out().print(part)
    seen.heard.require_all()


async def _look(asked: Services, heard: Heard) -> Looks:
    by_name = asked.by_name()
    answers = await asyncio.gather(*(heard.said(one, one.get("/lag", Lag)) for one in by_name.values()))
    heard.require_somebody()
    return {service: answer for service, answer in zip(by_name, answers, strict=True) if answer}


def progress(then: Looks, now: Looks, *, by_partition: bool) -> list[Progress]:
    """What happened between two looks, by service and topic in the order of the answers."""
    found = []
    for service, lag in now.items():
        before = then.get(service, lag)
        seconds = (lag.at - before.at).total_seconds()
        earlier = {(one.topic, one.partition): one for one in before.partitions}
        lots: dict[tuple[str, int | None], list[PartitionLag]] = {}
        for one in lag.partitions:
            lots.setdefault((one.topic, one.partition if by_partition else None), []).append(one)
        for (topic, partition), lot in lots.items():
            pairs = [(earlier.get((one.topic, one.partition), one), one) for one in lot]
            found.append(_progress(service, topic, partition, pairs, seconds, lag.at))
    return found


def _progress(
    service: Service,
    topic: str,
    partition: int | None,
    pairs: Sequence[tuple[PartitionLag, PartitionLag]],
    seconds: float,
    at: datetime,
) -> Progress:
    behind = sum(now.behind for _, now in pairs)
    since = min((now.unread_since for _, now in pairs if now.unread_since), default=None)
    read = sum(now.next_offset - then.next_offset for then, now in pairs)
    came = sum(now.end_offset - then.end_offset for then, now in pairs)
    nearer_per_s = (read - came) / seconds if seconds > 0 else 0.0
    caught_up_in_s = 0.0 if not behind else behind / nearer_per_s if nearer_per_s > 0 else None
    return Progress(
        service=service.replace("_", "-"),
        topic=topic,
        partition=partition,
        behind=behind,
        oldest_s=None if since is None else max(0.0, (at - since).total_seconds()),
        reads_per_s=read / seconds if seconds > 0 else None,
        caught_up_in_s=caught_up_in_s,
    )


def _as_json(seen: Seen) -> dict[str, Any]:
    behind = total(*(one.behind for one in seen.items), *(None for _ in seen.heard.unreachable))
    return {
        "behind": behind,
        "items": [one.as_json() for one in seen.items],
        "unreachable": seen.heard.unreachable,
    }


def _table(seen: Seen, *, partitions: bool) -> RenderableType:
    columns = ["service", "topic", "partition", "behind", "oldest", "reads a second", "caught up in"]
    rows: list[list[object]] = [
        [one.service, one.topic, one.partition, one.behind, _time(one.oldest_s), _rate(one.reads_per_s), _end(one)]
        for one in seen.items
    ]
    rows += [[service, *[show.UNKNOWN] * (len(columns) - 1)] for service in seen.heard.unreachable]
    if not partitions:
        columns.remove("partition")
        rows = [[*row[:2], *row[3:]] for row in rows]
    return show.table_of(columns, rows)


def _in_one_line(seen: Seen) -> str:
    waiting = [f"{one.service} {one.topic} {one.behind:,} ({_end(one)})" for one in seen.items if one.behind]
    silent = "".join(f"; {why}" for why in seen.heard.unreachable.values())
    return f"behind: {', '.join(waiting) or 'nothing'}{silent}"


def _time(seconds: float | None) -> str | None:
    return None if seconds is None else show.duration(seconds)


def _rate(per_s: float | None) -> str | None:
    return None if per_s is None else f"{per_s:,.0f}"


def _end(one: Progress) -> str:
    if one.behind and one.reads_per_s is None:
        return show.UNKNOWN
    return "not at this rate" if one.caught_up_in_s is None else show.duration(one.caught_up_in_s)
