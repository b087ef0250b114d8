"""`ticketsync audit`: what was done to the system, by whom and when, from the records of all three services.

Each service records what is done through it in the transaction that does it, so the lists are complete; they are put
together here, the newest first. With --json an item also names the service and shows the record's whole detail. The
records of a service that does not answer are missing, and that is said (ops/heard.py).
"""

import asyncio
import heapq
from collections.abc import Sequence
from typing import Annotated

import typer

from ops import show
from ops.addresses import Addresses, resolve
from ops.answers.audit import AuditRecord, AuditRecords
from ops.given import moment
from ops.heard import Heard
from ops.options import DataDir, Json
from ops.overview import services
from ops.pages import whole
from ops.service_api import Parameters, ServiceApi
from schemas.audited import Audited


def audit(
    *,
    who: Annotated[str | None, typer.Option("--who", help="Only what this person did.", show_default=False)] = None,
    what: Annotated[
        Audited | None,
        typer.Option("--what", metavar="WORD", help="Only this, such as import_accepted.", show_default=False),
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
    heard = Heard()
    found = asyncio.run(_merged(resolve(data_dir), conditions, heard, limit=limit + 1))
    found, more = found[:limit], len(found) > limit
    if json:
        items = [{"service": service} | one.model_dump(mode="json") for service, one in found]
        show.as_json({"items": items, "more": more, "unreachable": heard.unreachable})
    else:
        show.table(
            ("time", "subject", "who did what, through which service"),
            [(show.moment(one.time), one.subject, _in_short(service, one)) for service, one in found],
            ids=("time", "subject"),
            silent=heard.unreachable,
        )
        if more:
            show.more(limit)
    heard.require_all()


def _in_short(service: str, one: AuditRecord) -> str:
    """Counts instead of lists."""
    said = [f"{one.who or 'somebody'}: {one.what}, {service}"]
    for name, value in one.detail.items():
        said.append(f"{name}: {len(value) if isinstance(value, list) else show.in_words(value)}")
    return ", ".join(said)


async def _merged(
    addresses: Addresses, conditions: Parameters, heard: Heard, *, limit: int
) -> Sequence[tuple[str, AuditRecord]]:
    async with services(addresses) as asked:
        lists = await asyncio.gather(*(_of(one, conditions, heard, limit=limit) for one in asked.by_name().values()))
    heard.require_somebody()
    return list(heapq.merge(*lists, key=lambda one: one[1].time, reverse=True))[:limit]


async def _of(asked: ServiceApi, conditions: Parameters, heard: Heard, *, limit: int) -> list[tuple[str, AuditRecord]]:
    found = await heard.said(asked, whole(asked, "/audit", AuditRecords, conditions, limit=limit))
    return [(asked.service, one) for one in found or ()]
