"""The SQL that lists recordings: any combination of conditions, a page at a time, each page of bounded work.

A page is one walk along an index: in order of the ids, or of the calls if a time is asked for. Conditions for which
there is an index choose where to walk; the others are tried on what the walk meets, so many recordings at most. So a
page may have fewer recordings than asked for, even none, and the list still go on: it ends where there is no place to
go on from. Nothing is indexed for looking alone that every link would pay for; a walk in order of the ids reads links
beside recordings, in the same order, and is five times cheaper than one that looks each link up.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.linker.seen import KNOWN, LOOK_AT_LINK, RECORDINGS, SHOWN, STATE
from shared.cursors import UnknownCursor, cursor_of, place_of
from shared.sql import text

# A page meets so many at most: beside their links, or each with a look for its link. It stops when it is full.
SWEEP_MAX = 200_000
LOOK_AT_MAX = 20_000
STEP = 20_000

# Conditions that look rare make the planner read and sort all that a page may meet, though a few rows would fill it.
IN_ORDER = "select set_config('enable_sort', 'off', true), set_config('enable_hashjoin', 'off', true)"
_HOLDS = "strpos(lower({}), lower(cast(:{} as text))) > 0"
_CALLED_AT = "coalesce(r.recorded_at, r.processed_at)"
_IDS = f"r.recording_id, r.folder_id, {_CALLED_AT} as called_at"
# The first that is asked for is where to walk; of these each has an index.
_NARROWING = {
    "ticket": "r.recording_id in (select t.recording_id from link t where t.ticket_id = :ticket)",
    "filename": "r.name_key = normalize(cast(:filename as text), NFC)",
    "folder_id": "r.folder_id = :folder_id",
}
_OTHERS = {
    "state": f"{STATE} = :state",
    # A ticket is taken apart only if its text holds what is looked for: that costs more than all else of a walk.
    "customer": f"""{_HOLDS.format("l.ticket", "customer_in_json")}
        and lower(cast(l.ticket as jsonb) ->> 'customer_name') = lower(cast(:customer as text))""",
    "requires_ticket": "r.requires_ticket = :requires_ticket",
    "search": f"""({_HOLDS.format("r.filename", "search")} or {_HOLDS.format("l.ticket_id", "search")}
        or ({_HOLDS.format("l.ticket", "search_in_json")}
            and {_HOLDS.format("cast(l.ticket as jsonb) ->> 'customer_name'", "search")}))""",
}
_IN_JSON = {"customer", "search"}
_TIMES = {"called_from": f"{_CALLED_AT} >= :called_from", "called_before": f"{_CALLED_AT} < :called_before"}


@dataclass(frozen=True)
class Wanted:
    """Which recordings to list; None is no condition. `cursor`: where the page before ended.

    `search`: in filename, ticket_id or customer, in upper or lower case. `called_*`: when the call was, by its
    recorded_at, else its processed_at; from this time, and before that one. `look_at`: recordings that a page meets;
    None is as many as are cheap. `ids_only`: nothing is shown of each but which it is and in which folder.
    """

    folder_id: str | None = None
    filename: str | None = None
    ticket: str | None = None
    customer: str | None = None
    state: str | None = None
    requires_ticket: bool | None = None
    called_from: datetime | None = None
    called_before: datetime | None = None
    search: str | None = None
    cursor: str = ""
    limit: int = 100
    look_at: int | None = None
    ids_only: bool = False


@dataclass(frozen=True)
class Walk:
    """A page as SQL. `end`: finds the place where the page has looked at enough; `page`: what it has met until there.

    Both take `parameters`; `page` also that place, as `end_id` and, in order of calls, `end_at`.
    """

    order: str
    end: str
    page: str
    parameters: dict[str, Any]


async def recordings(connection: AsyncConnection, wanted: Wanted) -> tuple[list[Mapping[str, Any]], str | None]:
    """A page, and the cursor of the next one, None after the last. Raises UnknownCursor."""
    await connection.execute(text(IN_ORDER))
    left = wanted.look_at or (SWEEP_MAX if _way(wanted) == "sweep" else LOOK_AT_MAX)
    found: list[Mapping[str, Any]] = []
    cursor: str | None = wanted.cursor
    while cursor is not None and left > 0 and len(found) < wanted.limit:
        step = replace(wanted, cursor=cursor, limit=wanted.limit - len(found), look_at=min(left, STEP))
        rows, cursor = await _step(connection, step)
        found += rows
        left -= STEP
    return found, cursor


async def ids(connection: AsyncConnection, wanted: Wanted) -> tuple[str, str | None]:
    """Those of the next `limit` recordings that meet the conditions, as JSON: [folder_id, recording_id] of each.

    Put together by the database, as they may be many thousands. The cursor is as that of `recordings`.
    """
    await connection.execute(text(IN_ORDER))
    walk, end = await _walk(connection, replace(wanted, look_at=wanted.limit, ids_only=True))
    items = await connection.scalar(
        text(f"select cast(json_agg(json_build_array(folder_id, recording_id)) as text) from ({walk.page}) page"),  # noqa: S608  # this module's own text
        walk.parameters,
    )
    return items or "[]", end


async def _walk(connection: AsyncConnection, wanted: Wanted) -> tuple[Walk, str | None]:
    """The next stretch to look at, and the cursor of what lies behind it, None if nothing does."""
    walk = walk_for(wanted, ends=True)
    end = (await connection.execute(text(walk.end), walk.parameters)).one_or_none()
    if end is None:
        return walk_for(wanted, ends=False), None
    walk.parameters.update(end._mapping)  # the documented way to a row as a mapping
    return walk, _cursor(walk.order, walk.parameters.get("end_at"), end.end_id)


async def _step(connection: AsyncConnection, wanted: Wanted) -> tuple[list[Mapping[str, Any]], str | None]:
    walk, end = await _walk(connection, wanted)
    found: list[Mapping[str, Any]] = [
        dict(row) for row in (await connection.execute(text(walk.page), walk.parameters)).mappings()
    ]
    if len(found) == wanted.limit:
        return found, _cursor(walk.order, found[-1]["called_at"], found[-1]["recording_id"])
    return found, end


def _way(wanted: Wanted) -> str:
    """Which index is walked: that of a condition, of the calls, or of all recordings in order of their ids."""
    asked = {name for name, value in vars(wanted).items() if value is not None}
    return next((name for name in _NARROWING if name in asked), "call" if asked & _TIMES.keys() else "sweep")


def walk_for(wanted: Wanted, *, ends: bool) -> Walk:
    """The SQL for a page; `ends`: it goes to a place that `end` has found, else to the end of the list."""
    asked = {name: value for name, value in vars(wanted).items() if value is not None and name != "cursor"}
    asked |= {f"{name}_in_json": json.dumps(asked[name], ensure_ascii=False)[1:-1] for name in _IN_JSON & asked.keys()}
    way = _way(wanted)
    by_call = way == "call"
    order = "call" if by_call else "id"
    key = f"({_CALLED_AT}, r.recording_id)" if by_call else "r.recording_id"
    start, place = _start(wanted.cursor, order)

    walked = [f"{key} > {start}"] if start else []
    walked += [_NARROWING[way]] if way in _NARROWING else []
    walked += [sql for name, sql in _TIMES.items() if by_call and name in asked]
    tried = [sql for name, sql in {**_NARROWING, **_TIMES, **_OTHERS}.items() if name in asked and sql not in walked]
    until = [f"{key} <= {'(:end_at, :end_id)' if by_call else ':end_id'}"] if ends else []
    sorting = f"{_CALLED_AT}, r.recording_id" if by_call else "r.recording_id"
    beside = " and ".join(["l.link_version > 0", *(one.replace("r.", "l.") for one in walked + until)])
    links = f"left join link l on l.recording_id = r.recording_id and {beside}" if way == "sweep" else LOOK_AT_LINK
    if wanted.ids_only and not any("l." in sql for sql in tried):
        links = ""
    rows = f"select {_IDS if wanted.ids_only else SHOWN} from recording r {links}"  # noqa: S608  # likewise
    return Walk(
        order,
        end=f"""
            select {f"{_CALLED_AT} as end_at, " if by_call else ""}r.recording_id as end_id from recording r
            where {" and ".join(walked) or "true"} order by {sorting} offset :look_at - 1 limit 1
        """,  # noqa: S608  # this module's own text
        page=f"{rows} where {' and '.join([KNOWN, *walked, *until, *tried])} order by {sorting} limit :limit",
        parameters={**asked, **place},
    )


def _start(cursor: str, order: str) -> tuple[str, dict[str, Any]]:
    """Where to go on, as SQL and its parameters."""
    if order == "id":
        place = place_of(cursor, order, parts=1)
        return (":after_id", {"after_id": place[0]}) if place else ("", {})
    place = place_of(cursor, order, parts=2)
    if place is None:
        return "", {}
    try:
        moment = datetime.fromisoformat(place[0]).astimezone(UTC)
    except (ValueError, OverflowError):
        raise UnknownCursor from None
    return "(:after_at, :after_id)", {"after_at": moment, "after_id": place[1]}


def _cursor(order: str, called_at: datetime | None, recording_id: str) -> str:
    return cursor_of(order, [recording_id] if order == "id" or called_at is None else [str(called_at), recording_id])


async def recording(connection: AsyncConnection, recording_id: str) -> Mapping[str, Any] | None:
    """One recording, None if it is not known."""
    rows = await connection.execute(
        text(f"{RECORDINGS} where {KNOWN} and r.recording_id = :recording_id"), {"recording_id": recording_id}
    )
    row = rows.mappings().one_or_none()
    return dict(row) if row else None


async def facts(connection: AsyncConnection, recording_id: str) -> Mapping[str, Any]:
    """What was heard of a recording that is known, when, and where it stands on its topic."""
    rows = await connection.execute(
        text("""
            select revision, processed_at, processed_place, transfer_version, transferred_at, transferred_place,
                   known_transfer_version, known_link_version, known_at, known_place
            from recording where recording_id = :recording_id
        """),
        {"recording_id": recording_id},
    )
    return dict(rows.mappings().one())


async def history(
    connection: AsyncConnection, recording_id: str, *, before_version: int, limit: int
) -> Sequence[Mapping[str, Any]]:
    """Versions of a recording's link under `before_version`, the newest first."""
    rows = await connection.execute(
        text("""
            select link_version, ticket, source, request_id, requested_at, linked_by, import_id,
                   occurred_at as linked_at
            from (
                select link_version, ticket, source, request_id, requested_at, linked_by, import_id, occurred_at
                from link where recording_id = :recording_id
                union all
                select link_version, ticket, source, request_id, requested_at, linked_by, import_id, occurred_at
                from link_history where recording_id = :recording_id
            ) given
            where link_version between 1 and :newest
            order by link_version desc limit :limit
        """),
        {"recording_id": recording_id, "newest": before_version - 1, "limit": limit},
    )
    return [dict(row) for row in rows.mappings()]
