"""The tickets of adopted recordings, as imports of the linker that undo nothing of what was decided here since.

The old application's tickets count as older than any link and any unlink made here: an import with `on_existing=first`
says just that, also of a file that is adopted again with more lines.
Rows name their recordings by id, so one that the linker has not heard of yet is parked and linked as soon as it has.
"""

import csv
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from ops.answers.imports import ImportStarted
from ops.import_links import finished, rows_of
from ops.service_api import Parameters, ServiceApi
from schemas.events import TicketDetails

FIELDS = tuple(TicketDetails.model_fields)
ROWS_MAX = 20_000
TIME_LIMIT_S = 300.0
# After the heading.
FIRST_ROW = 2


class Tickets:
    """Gathers tickets and sends them, some thousands at a time. `findings` as in ops.adopt."""

    def __init__(self, linker: ServiceApi, name: str, *, dry_run: bool) -> None:
        self.outcomes: Counter[str] = Counter()
        self.findings: list[tuple[int, str | None, str, str]] = []
        self._linker = linker
        self._name = Path(name).stem
        self._dry_run = dry_run
        self._rows: list[tuple[int, str, TicketDetails]] = []

    async def add(self, line: int, recording_id: str, ticket: TicketDetails) -> None:
        """Of the line with this number."""
        self._rows.append((line, recording_id, ticket))
        if len(self._rows) == ROWS_MAX:
            await self.send()

    async def send(self) -> None:
        """Import what was gathered, and wait until every row is decided."""
        if not self._rows:
            return
        parameters: Parameters = {
            "filename": f"{self._name[:100]}-{self._rows[0][0]}.csv",
            "on_existing": "first",
            "dry_run": self._dry_run,
        }
        started = await self._linker.call(
            "POST", "/imports", ImportStarted, parameters, content=_Bytes(self._csv()), time_limit_s=TIME_LIMIT_S
        )
        receipt = await finished(self._linker, started.import_id)
        # The receipt of an import that was there before says what was done then.
        self.outcomes.update({"already": len(self._rows)} if started.repeated else receipt.counts)
        for row in await rows_of(self._linker, started.import_id, attention=True):
            line, recording_id, _ = self._rows[row["line"] - FIRST_ROW]
            what = f"ticket_info.{row['field']}" if row.get("field") else "ticket_info"
            self.findings.append((line, recording_id, what, row.get("message") or row["outcome"]))
        self._rows = []

    def _csv(self) -> bytes:
        """A heading and a row for each, on a line of its own: no value has a line break."""
        written = StringIO()
        rows = csv.writer(written)
        rows.writerow(("recording_id", *FIELDS))
        rows.writerows(
            (recording_id, *(getattr(ticket, name) or "" for name in FIELDS)) for _, recording_id, ticket in self._rows
        )
        return written.getvalue().encode()


@dataclass(frozen=True)
class _Bytes:
    """Given anew each time it is sent."""

    content: bytes

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """All at once."""
        yield self.content
