"""Reads a list of a service's API to its end, a page at a time, so that it may be longer than memory."""

from collections.abc import AsyncIterator, Sequence

from ops.answers import Item, PageOf
from ops.service_api import Parameters, ServiceApi

PAGE = 1_000
# Of what is blocked: a service sorts all of it for each page.
BLOCKED_PAGE = 10_000


async def pages(
    service: ServiceApi,
    path: str,
    answer: type[PageOf[Item]],
    params: Parameters,
    *,
    page_size: int = PAGE,
    limit: int | None = None,
) -> AsyncIterator[Sequence[Item]]:
    """Its items as they come; `limit` of them at most. Pages without an item are left out."""
    cursor: str | None = ""
    left = limit
    while cursor is not None and left != 0:
        size = page_size if left is None else min(page_size, left)
        page = await service.get(path, answer, {**params, "limit": size, "cursor": cursor})
        if page.items:
            yield page.items
        left = None if left is None else left - len(page.items)
        cursor = page.next_cursor


async def whole(
    service: ServiceApi, path: str, answer: type[PageOf[Item]], params: Parameters, *, limit: int | None = None
) -> list[Item]:
    """All of its items, or `limit` of them at most, of a list that is short enough."""
    return [one async for page in pages(service, path, answer, params, limit=limit) for one in page]


async def first(
    service: ServiceApi, path: str, answer: type[PageOf[Item]], params: Parameters, *, limit: int | None
) -> tuple[list[Item], bool]:
    """Its items, `limit` of them at most, and whether there are more."""
    found = await whole(service, path, answer, params, limit=limit and limit + 1)
    return found[:limit], limit is not None and len(found) > limit
