"""The SQL of parked links for whoever looks after them: which wait and since when, and the end of those given up.

A link whose recording does not come waits on for ever unless a person drops it: it may still arrive. After
PARKED_EXPIRE_AFTER_DAYS it is only called expired, everywhere where it is shown and counted.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.linker.store_parked import one_at_a_time
from shared.cursors import cursor_of, moment_of, place_of
from shared.sql import text

LOOK_AT_MAX = 20_000

# What the index parked_link_oldest has.
_WAITS = "p.state = 'parked' and p.ticket is not null"
_CONDITIONS = {
    # As the request names it, or by the other of its id and its name, once it is known.
    "folder": """(p.folder = :folder
        or p.folder in (select r.folder_name from recording r where r.folder_id = :folder)
        or p.folder in (select r.folder_id from recording r where r.folder_name = :folder))""",
    "filename": "p.name_key = normalize(cast(:filename as text), NFC)",
    "recording_id": "p.recording_id = :recording_id",
    "ticket": "cast(p.ticket as jsonb) ->> 'ticket_id' = :ticket",
    "import_id": "p.import_id = :import_id",
    "linked_by": "p.linked_by = :linked_by",
}


@dataclass(frozen=True)
class WantedParked:
    """Which parked links to list; None is no condition. `parked_before`: those that wait since before this time."""

    folder: str | None = None
    filename: str | None = None
    recording_id: str | None = None
    ticket: str | None = None
    import_id: str | None = None
    linked_by: str | None = None
    parked_before: datetime | None = None
    cursor: str = ""
    limit: int = 100
    look_at: int = LOOK_AT_MAX


@dataclass(frozen=True)
class ParkedCounts:
    """How many links wait, how many of them too long, and since when the oldest."""

    parked: int
    expired: int
    oldest_at: datetime | None


async def parked(connection: AsyncConnection, wanted: WantedParked) -> tuple[list[Mapping[str, Any]], str | None]:
    """Parked links, the oldest first, with a cursor as in seen_recordings. Raises UnknownCursor."""
    asked = {name: value for name, value in vars(wanted).items() if value is not None and name != "cursor"}
    conditions = [sql for name, sql in _CONDITIONS.items() if name in asked]
    walked = [_WAITS]
    if wanted.parked_before:
        walked.append("p.parked_at < :parked_before")
    if place := place_of(wanted.cursor, "parked", parts=2):
        walked.append("(p.parked_at, p.target) > (:after_at, :after_target)")
        asked |= {"after_at": moment_of(place[0]), "after_target": place[1]}
    end = (
        await connection.execute(
            text(f"""
                select p.parked_at as end_at, p.target as end_target from parked_link p where {" and ".join(walked)}
                order by p.parked_at, p.target offset :look_at - 1 limit 1
            """),  # noqa: S608  # this module's own text
            asked,
        )
    ).one_or_none()
    if end:
        conditions.append("(p.parked_at, p.target) <= (:end_at, :end_target)")
        asked |= {"end_at": end.end_at, "end_target": end.end_target}
    found = await connection.execute(
        text(f"""
            select p.target, p.request_id, p.recording_id, p.folder, p.filename,
                   cast(p.ticket as jsonb) ->> 'ticket_id' as ticket_id, p.source, p.requested_at, p.linked_by,
                   p.import_id, p.parked_at
            from parked_link p where {" and ".join([*walked, *conditions])}
            order by p.parked_at, p.target limit :limit
        """),  # noqa: S608  # this module's own text
        asked,
    )
    rows: list[Mapping[str, Any]] = [dict(row) for row in found.mappings()]
    if len(rows) == wanted.limit:
        return rows, cursor_of("parked", [str(rows[-1]["parked_at"]), rows[-1]["target"]])
    return rows, cursor_of("parked", [str(end.end_at), end.end_target]) if end else None


async def counts(connection: AsyncConnection, *, expired_before: datetime) -> ParkedCounts:
    """How many wait, and since when."""
    row = (
        await connection.execute(
            text(f"""
                select count(*) as parked, count(*) filter (where p.parked_at < :expired_before) as expired,
                       min(p.parked_at) as oldest_at
                from parked_link p where {_WAITS}
            """),  # noqa: S608  # this module's own text
            {"expired_before": expired_before},
        )
    ).one()
    return ParkedCounts(*row)


async def drop(
    connection: AsyncConnection, parked: Collection[tuple[str, str]], *, dropped_by: str | None, now: datetime
) -> int:
    """Give up these (target, request_id), as far as they still wait; returns how many did.

    The same request delivered again does not wait again. A recording that arrives in this very moment may have its
    link all the same, as if it had come before.
    """
    await one_at_a_time(connection)
    dropped = await connection.scalar(
        text("""
            with dropped as (
                update parked_link p set state = 'dropped', dropped_at = :now, dropped_by = :dropped_by
                from unnest(cast(:targets as text[]), cast(:requests as text[])) as u (target, request_id)
                where p.request_id = u.request_id and p.target = u.target and p.state = 'parked'
                    and p.ticket is not null
                returning p.target
            ), no_longer_fresh as (
                delete from fresh_parked using dropped where fresh_parked.target = dropped.target
            )
            select count(*) from dropped
        """),
        {
            "targets": [target for target, _ in parked],
            "requests": [request_id for _, request_id in parked],
            "dropped_by": dropped_by,
            "now": now,
        },
    )
    return int(dropped or 0)
