"""Who claimed what, while somebody looks: a trigger writes down each new lease of a folder, with its token.

A worker that sleeps and one that takes over hold the same folder at the same time only if both tokens stand here. The
services' own rows keep the last alone, and that for no longer than a request takes.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import unquote

from tests.faults.site import Site

LEASED = {"transfer": ("folder", "folder_id"), "cloud_updater": ("ledger", "clouds_uuid")}
_BEGIN = (
    "create schema seen",
    "create table seen.claim (folder text, token uuid, number bigint generated always as identity)",
    """create function seen.note() returns trigger language plpgsql security definer as
       $$ begin insert into seen.claim (folder, token) values (new.{key}, new.lease_token); return null; end $$""",
    """create trigger claim_seen after update of lease_token on {table} for each row
       when (new.lease_token is not null and new.lease_token is distinct from old.lease_token)
       execute function seen.note()""",
    "grant usage on schema seen to public",
)


@dataclass(frozen=True)
class ClaimsSeen:
    """Those of one service since it was begun to look."""

    site: Site
    service: str

    async def token_of(self, request: str) -> tuple[str, str]:
        """The folder of a request (an upload's id, a push's path), and the token that it was claimed with last."""
        folder = unquote(request.rpartition("/")[2])
        if self.service == "transfer":
            [row] = await self.site.sql("transfer", f"select folder_id from upload_request where id = '{request}'")
            folder = row["folder_id"]
        table, key = LEASED[self.service]
        [row] = await self.site.sql(self.service, f"select lease_token from {table} where {key} = '{folder}'")
        return folder, str(row["lease_token"])

    async def others(self, folder: str, own: str) -> int:
        """How often somebody else has claimed it since."""
        [row] = await self.site.sql(
            self.service,
            f"select count(*) from seen.claim where folder = '{folder}' and token <> '{own}' and number > "
            f"(select coalesce(max(number), 0) from seen.claim where folder = '{folder}' and token = '{own}')",
        )
        return int(row[0])


@asynccontextmanager
async def claims_seen(site: Site, service: str) -> AsyncIterator[ClaimsSeen]:
    """Look for as long as the block runs."""
    table, key = LEASED[service]
    await site.sql(service, *(one.format(table=table, key=key) for one in _BEGIN))
    try:
        yield ClaimsSeen(site, service)
    finally:
        await site.sql(service, f"drop trigger claim_seen on {table}", "drop schema seen cascade")
