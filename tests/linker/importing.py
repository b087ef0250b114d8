"""Imports through the genuine routes and the loop that applies them."""

from typing import Any

import httpx

from tests.linker.running import Linker


async def imported(linker: Linker, content: str | bytes, **options: object) -> list[dict[str, Any]]:
    """Upload and apply a file. Returns what became of its rows."""
    import_id = await accepted(linker, content, **options)
    while await linker.import_lot():
        pass
    return await rows_of(linker, import_id)


async def accepted(linker: Linker, content: str | bytes, **options: object) -> str:
    """Upload a file. Returns its import_id."""
    answer = await uploaded(linker, content, **options)
    assert answer.status_code == 202, answer.text
    import_id: str = answer.json()["import_id"]
    return import_id


async def uploaded(linker: Linker, content: str | bytes, **options: object) -> httpx.Response:
    """Upload a file, whatever the answer is."""
    given = {name: value if isinstance(value, list) else str(value) for name, value in options.items()}
    async with linker.api() as api:
        return await api.post(
            "/imports",
            params={"filename": "tickets.csv", **given},
            content=content.encode() if isinstance(content, str) else content,
        )


async def rows_of(linker: Linker, import_id: str) -> list[dict[str, Any]]:
    async with linker.api() as api:
        items: list[dict[str, Any]] = (await api.get(f"/imports/{import_id}/rows")).json()["items"]
    return items


def outcomes(rows: list[dict[str, Any]]) -> list[tuple[int, str]]:
    return [(row["line"], row["outcome"]) for row in rows]
