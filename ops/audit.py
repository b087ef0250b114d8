"""`ticketsync audit`: what was done to the system, by whom and when, from the records of all three services.

Each service records what is done through it in the transaction that does it, so the lists are complete; they are put
together here, the newest first. With --json an item also names the service and shows the record's whole detail.
"""

import asyncio
import heapq
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from ops import show
from ops.addresses import SERVICES, Addresses, Service, resolve
from ops.answers.audit import AuditRecord, AuditRecords
from ops.given import moment
from ops.options import DataDir, Json
from ops.pages import whole
from ops.service_api import Parameters, api


def audit(
    *,
    who: Annotated[str | None, typer.Option("--who", help="Only what this person did.", show_default=False)] = None,
    what: Annotated[
        str | None, typer.Option("--what", help="Only this, such as import_accepted.", show_default=False)
    ] = None,
    subject: Annotated[
        str | None,
        typer.Option("--subject", help="Only what was done to this: a recording, folder, ….", show_default=False),
    ] = None,
    since: Annotated[
        str | None, typer.Option("--since", help="Only from this time on, as in RFC 3339.", show_default=False)
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=100_000, help="How many at most.")] = 50,
    json: Json = False,
    data_dir: DataDir = None,
) -> None:
    """List who did what, the newest first."""
    conditions = {"who": who, "what": what, "subject": subject, "since": moment("--since", since)}
    found = asyncio.run(_merged(resolve(data_dir), conditions, limit=limit))
    if json:
        show.as_json({"items": [{"service": service} | one.model_dump(mode="json") for service, one in found]})
        return
    show.table(
        ("time", "who", "what", "subject", "service", "detail"),
        [
            (f"{one.time:%Y-%m-%d %H:%M:%S}Z", one.who, one.what, one.subject, service, _in_short(one.detail))
            for service, one in found
        ],
    )
    if len(found) == limit:
        show.note(f"There may be more: --limit was {limit:,}.")


def _in_short(detail: dict[str, Any]) -> str:
    """Counts instead of lists."""
    return ", ".join(
        f"{name}: {len(value) if isinstance(value, list) else show.in_words(value)}" for name, value in detail.items()
    )


async def _merged(addresses: Addresses, conditions: Parameters, *, limit: int) -> Sequence[tuple[str, AuditRecord]]:
    lists = await asyncio.gather(*(_of(addresses, service, conditions, limit=limit) for service in SERVICES))
    return list(heapq.merge(*lists, key=lambda one: one[1].time, reverse=True))[:limit]


async def _of(
    addresses: Addresses, service: Service, conditions: Parameters, *, limit: int
) -> list[tuple[str, AuditRecord]]:
    async with api(addresses, service) as asked:
        found = await whole(asked, "/audit", AuditRecords, conditions, limit=limit)
    return [(asked.service, one) for one in found]
