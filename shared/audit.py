"""The audit record: who did what to what, as a row in the transaction of its effect.

What was done is recorded and nothing else was; what was refused, or changed nothing, is no record. Rows are only ever
added. Each service keeps its own; `ticketsync audit` puts the three together.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.audited import Audited
from shared.cursors import UnknownCursor, cursor_of, place_of
from shared.sql import text

_ORDER = "audit"


@dataclass(frozen=True)
class Wanted:
    """Conditions on a list of records; those that are given have to be met, all of them."""

    who: str | None = None
    what: Audited | None = None
    subject: str | None = None
    since: datetime | None = None
    limit: int = 100
    cursor: str = ""


@dataclass(frozen=True)
class Recorded:
    """One record. `who` is None if the caller did not say."""

    id: int
    time: datetime
    who: str | None
    what: str
    subject: str
    detail: dict[str, Any]


async def record(
    connection: AsyncConnection, *, who: str | None, what: Audited, subject: str, detail: Mapping[str, object]
) -> None:
    """Write down what the caller's transaction does."""
    await connection.execute(
        text("""
            insert into audit (time, who, what, subject, detail)
            values (now(), :who, :what, :subject, cast(:detail as jsonb))
        """),
        {"who": who, "what": what, "subject": subject, "detail": json.dumps(dict(detail))},
    )


async def recorded(connection: AsyncConnection, wanted: Wanted) -> tuple[list[Recorded], str | None]:
    """A page of records, the newest first, and the cursor of the next page, if there is one. Raises UnknownCursor."""
    before, before_id = _place(wanted.cursor)
    rows = await connection.execute(
        text("""
            select id, time, who, what, subject, detail from audit
            where (cast(:who as text) is null or who = :who)
                and (cast(:what as text) is null or what = :what)
                and (cast(:subject as text) is null or subject = :subject)
                and (cast(:since as timestamptz) is null or time >= :since)
                and (cast(:before as timestamptz) is null or (time, id) < (:before, :before_id))
            order by time desc, id desc limit :limit
        """),
        {
            "who": wanted.who,
            "what": wanted.what,
            "subject": wanted.subject,
            "since": wanted.since,
            "before": before,
            "before_id": before_id,
            "limit": wanted.limit,
        },
    )
    found = [Recorded(**row) for row in rows.mappings()]
    if len(found) < wanted.limit:
        return found, None
    return found, cursor_of(_ORDER, [found[-1].time.isoformat(), str(found[-1].id)])


def _place(cursor: str) -> tuple[datetime | None, int]:
    place = place_of(cursor, _ORDER, parts=2)
    if place is None:
        return None, 0
    moment, number = place
    try:
        before = datetime.fromisoformat(moment)
    except ValueError:
        raise UnknownCursor from None
    if before.utcoffset() is None or not re.fullmatch(r"[0-9]{1,18}", number):
        raise UnknownCursor
    return before, int(number)
