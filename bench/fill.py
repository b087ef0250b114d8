"""Fills a running embedded stack with recordings that are all in sync, so that looking at many can be measured.

    ticketsync up --data-dir data &
    python -m bench.fill data --folders 2000 --files 100
    python -m bench.looks data

The cloud emulator gets its folders by its own contract; the services' tables get the rows that they would have after
reading all of it, by SQL, because publishing so many would take longer than looking at them. With --in-trouble the
cloud shows another ticket than it should, and refuses to have any recording again.
"""

import argparse
import asyncio
import json
from collections.abc import Sequence
from pathlib import Path

import asyncpg
import httpx

TICKET = {"ticket_id": "TKT-1", "customer_name": "John Doe", "linked_at": "2025-01-29T10:30:00Z"}
WORDS = "word " * 40
AT_ONCE = 8

# A row per folder `f` (its number, its uuid) and file `n`; `place` stands for any offset.
_ROWS = """
    from unnest($1::text[]) with ordinality as folders (uuid, f) cross join generate_series(1, $2::int) as n
"""
_ID = "'bench-' || f || '-' || n"
_FOLDER = "'bench-' || f"
_NAME = "'recording_' || n || '.wav'"
_AT = "timestamptz '2025-01-29 10:30:00+00'"

LINKER = (
    f"""
    insert into recording (recording_id, processed_folder_id, processed_folder_name, processed_filename,
        requires_ticket, processed_at, revision, content_hash, processed_place, transferred_folder_id,
        transferred_filename, transfer_version, clouds_uuid, transferred_at, transferred_place,
        known_transfer_version, known_link_version, known_at, known_place)
    select {_ID}, {_FOLDER}, {_FOLDER}, {_NAME}, true, {_AT}, 1, '', n, {_FOLDER}, {_NAME}, 1, uuid, {_AT}, n, 1, 1,
        {_AT}, n {_ROWS}
    """,
    f"""
    insert into link (recording_id, link_version, ticket, ticket_id, folder_id, filename, source, request_id,
        requested_at, occurred_at, last_request_id, last_requested_at)
    select {_ID}, 1, $3, 'TKT-1', {_FOLDER}, {_NAME}, 'api', {_ID}, {_AT}, {_AT}, {_ID}, {_AT} {_ROWS}
    """,
)
TRANSFER = (
    f"""
    insert into folder (folder_id, clouds_uuid, uuid_since)
    select {_FOLDER}, uuid, {_AT} from unnest($1::text[]) with ordinality as folders (uuid, f)
    """,  # noqa: S608  # this module's own text
    f"""
    insert into recording (recording_id, folder_id, folder_name, filename, size_bytes, token, transcript,
        requires_ticket, processed_at, revision, content_hash, folded_at, wanted_version, waiting)
    select {_ID}, {_FOLDER}, {_FOLDER}, {_NAME}, 1000, 1, '{WORDS}', true, {_AT}, 1, '', {_AT}, 1, false {_ROWS}
    """,
    f"""
    insert into transfer (recording_id, folder_id, clouds_uuid, transfer_version, filename, size, token, transcribe,
        link_version, transferred_at)
    select {_ID}, {_FOLDER}, uuid, 1, {_NAME}, '1 KB', 1, '{WORDS}', 1, {_AT} {_ROWS}
    """,
)
CLOUD_UPDATER = (
    f"""
    insert into ledger (clouds_uuid, folder_id, last_seq, cursor, announced_cursor, forced_until, generation,
        attempts, missing)
    select uuid, {_FOLDER}, $2::int, $2, $2, 0, 0, 0, false
    from unnest($1::text[]) with ordinality as folders (uuid, f)
    """,  # noqa: S608  # this module's own text
    f"""
    insert into recording (recording_id, folder_id, clouds_uuid, transfer_version, link_version,
        known_transfer_version, known_link_version, link_place, ticket, seq, forced)
    select {_ID}, {_FOLDER}, uuid, 1, 1, 1, 1, n, $3, n, false {_ROWS}
    """,
    f"""
    insert into file (recording_id, body)
    select {_ID}, '{{"filename":"' || {_NAME} || '","size":"1 KB","token":1,"transcribe":"{WORDS}"}}' {_ROWS}
    """,
)


# For `verify`, and for `transfer list`.
TROUBLE = {
    "cloud_updater": "update recording set ticket = replace(ticket, 'TKT-1', 'TKT-2')",
    "transfer": """
        update recording set wanted_version = wanted_version + 1, rejected = '422: files.7.transcribe: is required'
    """,
}


async def fill(data_dir: Path, *, folders: int, files: int, in_trouble: bool) -> None:
    """Make that many folders of that many files each."""
    stack = json.loads((data_dir / "stack.json").read_text())
    token = (data_dir / "tokens" / "emulator_token").read_text().strip()
    uuids = await _in_the_cloud(stack["cloud_url"], token, folders=folders, files=files)
    for service, statements in (("linker", LINKER), ("transfer", TRANSFER), ("cloud_updater", CLOUD_UPDATER)):
        trouble = [TROUBLE[service]] if in_trouble and service in TROUBLE else []
        await _in_the_database(stack[f"{service}_database_url"], [*statements, *trouble], uuids, files)


async def _in_the_cloud(url: str, token: str, *, folders: int, files: int) -> list[str]:
    headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
    rest = {"size": "1 KB", "token": 1, "transcribe": WORDS, "ticket_info": TICKET}
    content = [{"filename": f"recording_{number}.wav", **rest} for number in range(1, files + 1)]
    uuids = [""] * folders
    numbers = iter(range(folders))
    async with httpx.AsyncClient(base_url=url, headers=headers, trust_env=False, timeout=60) as client:

        async def work() -> None:
            for number in numbers:
                body = {"folder": f"folder-{number + 1}", "files": content}
                answer = await client.post("/api/external/v1/recording", json=body)
                uuids[number] = answer.raise_for_status().json()["data"]["uuid"]

        await asyncio.gather(*(work() for _ in range(AT_ONCE)))
    return uuids


async def _in_the_database(url: str, statements: Sequence[str], uuids: list[str], files: int) -> None:
    """$1: the uuids, $2: files of each folder, $3: the ticket as JSON."""
    connection = await asyncpg.connect(url.replace("postgresql+asyncpg", "postgresql"))
    given = (uuids, files, json.dumps(TICKET))
    try:
        for statement in statements:
            await connection.execute(statement, *given[: max(n for n in (0, 1, 2, 3) if not n or f"${n}" in statement)])
        await connection.execute("analyze")
    finally:
        await connection.close()


def main() -> None:
    """As the module says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data_dir", type=Path)
    parser.add_argument("--folders", type=int, default=2000)
    parser.add_argument("--files", type=int, default=100)
    parser.add_argument("--in-trouble", action="store_true")
    given = parser.parse_args()
    asyncio.run(fill(given.data_dir, folders=given.folders, files=given.files, in_trouble=given.in_trouble))


if __name__ == "__main__":
    main()
