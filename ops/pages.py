"""Reads a list of a service's API to its end, a page at a time, so that it may be longer than memory."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

from ops.answers import Page
from ops.service_api import Parameters, ServiceApi


async def pages(
    service: ServiceApi, path: str, params: Parameters, *, page_size: int, limit: int | None = None
) -> AsyncIterator[Sequence[dict[str, Any]]]:
    """Its items as they come; `limit` of them at most. Pages without an item are left out."""
    cursor: str | None = ""
    left = limit
    while cursor is not None and left != 0:
        size = page_size if left is None else min(page_size, left)
        page = await service.get(path, Page, {**params, "limit": size, "cursor": cursor})
        if page.items:
            yield page.items
        left = None if left is None else left - len(page.items)
        cursor = page.next_cursor
