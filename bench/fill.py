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
from pathlib import Path

import httpx

from bench.rows import ROWS, TICKET, WORDS, put

AT_ONCE = 8

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
    for service, statements in ROWS.items():
        trouble = [TROUBLE[service]] if in_trouble and service in TROUBLE else []
        url = stack[f"{service}_database_url"].replace("postgresql+asyncpg", "postgresql")
        await put(url, [*statements, *trouble], uuids, files)


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
