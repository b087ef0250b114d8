"""The cloud of the measurements: a bare ASGI app that notes which links arrived and when, and does nothing else.

It runs as a process of its own (`python bench/receiver.py PORT`), the same for every system, and needs uvicorn alone.
`GET /seen` says how many files update-ticket has brought, how many of them for the first time, in how many requests,
when the last came, and how many requests and pings were sent away; `GET /moments` gives the moment of
each ticket, in seconds since the epoch. After `GET /down` everything is answered with 503, until `GET /up`.
"""

import json
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import uvicorn

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

CAPABILITIES = ["ticket-info", "idempotency-key", "link-version", "read"]
JSON = [(b"content-type", b"application/json")]


class Receiver:
    """Counts files by looking for their ticket ids; parsing the JSON would cost more than the system under test."""

    def __init__(self) -> None:
        self.files = 0
        self.requests = 0
        self.refused = 0
        self.refused_pings = 0
        self.folders = 0
        self.last_at = 0.0
        self.down = False
        self.moments: dict[str, float] = {}

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """ASGI entry."""
        parts = []
        while True:
            message = await receive()
            parts.append(message.get("body", b""))
            if not message.get("more_body"):
                break
        status, content = self._answer(scope["path"], b"".join(parts))
        await send({"type": "http.response.start", "status": status, "headers": JSON})
        await send({"type": "http.response.body", "body": json.dumps(content).encode()})

    def _answer(self, path: str, body: bytes) -> tuple[int, object]:
        if path in {"/seen", "/moments", "/down", "/up", "/again"}:
            return 200, self._asked(path)
        if self.down:
            if path.endswith("/ping"):
                self.refused_pings += 1
            else:
                self.refused += 1
            return 503, {"message": "Service Unavailable"}
        if path.endswith("/ping"):
            return 200, {"status": 200, "message": "success", "capabilities": CAPABILITIES}
        if "/update-ticket/" in path:
            self._count(body)
            return 200, {"status": 200, "message": "Successfuly!"}
        self.folders += 1
        return 200, {"status": 200, "message": "Successfuly!", "data": {"uuid": f"bench-{self.folders}"}}

    def _asked(self, path: str) -> object:
        if path == "/moments":
            return self.moments
        if path == "/again":
            self.__init__()  # type: ignore[misc]  # as on its first day
        elif path in {"/down", "/up"}:
            self.down = path == "/down"
        return {
            "files": self.files,
            "new": len(self.moments),
            "requests": self.requests,
            "refused": self.refused,
            "refused_pings": self.refused_pings,
            "last_at": self.last_at,
        }

    def _count(self, body: bytes) -> None:
        self.last_at = time.time()
        self.requests += 1
        tickets = body.split(b'"ticket_id":"')[1:]
        self.files += len(tickets)
        for ticket in tickets:
            self.moments.setdefault(ticket[: ticket.index(b'"')].decode(), self.last_at)


if __name__ == "__main__":
    # httptools and uvloop are taken where they are installed; the receiver must hold up nobody.
    uvicorn.run(Receiver(), host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", lifespan="off")
