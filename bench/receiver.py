"""The cloud of the measurements: a bare ASGI app that notes which links arrived and when, and does nothing else.

It runs as a process of its own (`python -m bench.receiver PORT`). `GET /seen` says how many files update-ticket has
brought, in how many requests, and when the last came; `GET /moments` gives the moment of each ticket, in seconds since
the epoch.
"""

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import uvicorn

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

CAPABILITIES = ["ticket-info", "idempotency-key", "link-version", "read"]


class Receiver:
    """Counts files by looking for their ticket ids; parsing the JSON would cost more than the system under test."""

    def __init__(self) -> None:
        self.files = 0
        self.requests = 0
        self.last_at = 0.0
        self.moments: dict[str, float] = {}

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """ASGI entry."""
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        await _answer(send, self._content(scope["path"], body))

    def _content(self, path: str, body: bytes) -> object:
        if path.endswith("/ping"):
            return {"status": 200, "message": "success", "capabilities": CAPABILITIES}
        if "/update-ticket/" in path:
            self._count(body)
            return {"status": 200, "message": "Successfuly!"}
        if path == "/seen":
            return {"files": self.files, "requests": self.requests, "last_at": self.last_at}
        if path == "/moments":
            return self.moments
        return {"status": 200, "message": "Successfuly!", "data": {"uuid": "bench"}}

    def _count(self, body: bytes) -> None:
        self.last_at = time.time()
        self.requests += 1
        tickets = body.split(b'"ticket_id":"')[1:]
        self.files += len(tickets)
        for ticket in tickets:
            self.moments.setdefault(ticket[: ticket.index(b'"')].decode(), self.last_at)


async def _answer(send: Send, content: object) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": json.dumps(content).encode()})


if __name__ == "__main__":
    config = uvicorn.Config(Receiver(), host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", lifespan="off")
    asyncio.run(uvicorn.Server(config).serve())
