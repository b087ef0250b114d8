"""The contract's routes over HTTP: reads a request, lets the armed faults meddle, has the effect, sends the answer.

In: ASGI requests, handled without a framework because a benchmark waits behind them. Out: an answer, a slow one, or a
connection closed without any. The effect happens in `Cloud.perform`, which cannot be interrupted; that the client has
gone away meanwhile changes nothing, as with the real cloud.
"""

import asyncio
import hmac
import logging
from collections import Counter
from dataclasses import dataclass, field
from typing import assert_never

from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from local.emulator import calls
from local.emulator.calls import Answer, Call
from local.emulator.cloud import Cloud
from local.emulator.faults import Fault, Faults, Holds
from local.emulator.throttle import Throttle

logger = logging.getLogger("cloud_emulator")


@dataclass(frozen=True, slots=True)
class Closed:
    """No answer: the connection is closed."""


@dataclass(frozen=True, slots=True)
class Dripping:
    """An answer whose body takes `seconds` to arrive."""

    answer: Answer
    seconds: float


@dataclass
class Counts:
    """Requests since the start or the last wipe, by what they asked for and by what they got ("closed": nothing)."""

    by_route: Counter[str] = field(default_factory=Counter)
    by_status: Counter[str] = field(default_factory=Counter)


class Endpoint:
    """The ASGI application of the contract's prefix; `down` makes it answer 503 to everything."""

    def __init__(self, cloud: Cloud, *, token: str, throttle: Throttle, body_limit_bytes: int) -> None:
        self.cloud = cloud
        self.throttle = throttle
        self.faults = Faults()
        self.holds = Holds()
        self.counts = Counts()
        self.down = False
        self._authorization = f"Bearer {token}".encode()
        self._body_limit_bytes = body_limit_bytes
        self._wipes = 0
        self._late = set[asyncio.Task[Answer]]()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        outcome = await self._outcome(scope, receive)
        self.counts.by_status["closed" if isinstance(outcome, Closed) else str(_answer_of(outcome).status)] += 1
        match outcome:
            case Answer():
                await _send_answer(outcome, send)
            case Dripping():
                await _drip(outcome, send)
            case Closed():
                await _close(scope, receive)
            case _:
                assert_never(outcome)

    def reset(self) -> None:
        """As on the first day: no memory and no faults, and what is held or late never happens.

        Capabilities and limit stay.
        """
        self.stop()
        self._wipes += 1
        self.cloud.wipe()
        self.faults.clear()
        self.holds.release(None)
        self.counts = Counts()
        self.down = False

    def stop(self) -> None:
        """Calls off the late effects that have not happened yet."""
        for task in self._late:
            task.cancel()

    async def _outcome(self, scope: Scope, receive: Receive) -> Answer | Dripping | Closed:
        path = scope["path"]
        found = calls.route_of(scope["method"], path.removeprefix(calls.PREFIX), self.cloud.capabilities)
        self.counts.by_route[found[0] if found else "unknown"] += 1
        headers = Headers(scope=scope)
        body = await _read(receive, self._body_limit_bytes)

        if body is None:
            return Closed()
        if self.down:
            return calls.DOWN
        if found is None:
            return calls.unknown_route(path)
        if refusal := self._refusal(headers, body):
            return refusal

        call = Call(
            path=path,
            route=found[0],
            uuid=found[1],
            body=body,
            idempotency_key=headers.get("idempotency-key") or None,
            wants_json=calls.wants_json(headers.get("accept", "")),
        )
        fault = self.faults.take(call)
        return await (self._fail(call, fault) if fault else self._work(call))

    def _refusal(self, headers: Headers, body: bytes) -> Answer | None:
        if not hmac.compare_digest(headers.get("authorization", "").encode(), self._authorization):
            return calls.UNAUTHORISED
        wait_s = self.throttle.wait_s()
        if wait_s is not None:
            return calls.too_many(wait_s)
        return calls.TOO_LARGE if len(body) > self._body_limit_bytes else None

    async def _fail(self, call: Call, fault: Fault) -> Answer | Dripping | Closed:
        outcome: Answer | Dripping | Closed
        match fault.kind:
            case "answer":
                await asyncio.sleep(fault.delay_s)
                outcome = fault.answer(call)
            case "answer_after_effect":
                outcome = await self._work(call)
                await asyncio.sleep(fault.delay_s)
                if fault.status:
                    outcome = fault.answer(call)
            case "close_before_effect":
                await asyncio.sleep(fault.delay_s)
                outcome = Closed()
            case "close_after_effect":
                await self._work(call)
                await asyncio.sleep(fault.delay_s)
                outcome = Closed()
            case "late_effect":
                self._work_later(call, fault.delay_s)
                outcome = fault.answer(call) if fault.status else Closed()
            case "slow_effect":
                outcome = await self._work(call, after_s=fault.delay_s)
            case "slow_drip":
                outcome = Dripping(await self._work(call), fault.delay_s)
            case _:
                assert_never(fault.kind)
        return outcome

    def _work_later(self, call: Call, delay_s: float) -> None:
        task = asyncio.create_task(self._work(call, after_s=delay_s))
        self._late.add(task)
        task.add_done_callback(self._late.discard)

    async def _work(self, call: Call, *, after_s: float = 0) -> Answer:
        """What the cloud does with a call; its key counts as in use while it waits."""
        wipes = self._wipes
        answer = self.cloud.begin(call)
        if answer is None:
            try:
                if after_s:
                    await asyncio.sleep(after_s)
                await self.holds.wait(call.route, "before_effect")
                answer = self.cloud.perform(call) if wipes == self._wipes else calls.DOWN
            except OSError:
                logger.exception("the effect log cannot be written")
                return calls.CRASHED
            finally:
                self.cloud.end(call)
        await self.holds.wait(call.route, "after_effect")
        return answer


def _answer_of(outcome: Answer | Dripping) -> Answer:
    return outcome.answer if isinstance(outcome, Dripping) else outcome


async def _read(receive: Receive, limit_bytes: int) -> bytes | None:
    """The body, read to its end but kept only to just beyond the limit; None if the client went away in the middle."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        if len(body) <= limit_bytes:
            body += message.get("body", b"")
        if not message.get("more_body", False):
            return bytes(body)


async def _send_start(answer: Answer, send: Send) -> None:
    headers = dict(answer.headers)
    if answer.status not in calls.BODILESS:
        headers["content-length"] = str(len(answer.body))
    raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": answer.status, "headers": raw})


async def _send_answer(answer: Answer, send: Send) -> None:
    await _send_start(answer, send)
    await send({"type": "http.response.body", "body": answer.body})


async def _drip(dripping: Dripping, send: Send) -> None:
    body = dripping.answer.body
    await _send_start(dripping.answer, send)
    for position in range(len(body)):
        await asyncio.sleep(dripping.seconds / len(body))
        await send({"type": "http.response.body", "body": body[position : position + 1], "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _close(scope: Scope, receive: Receive) -> None:
    """Closes the connection under the server's feet; `serve.ClosableProtocol` put the means into the scope."""
    scope["state"]["close"]()
    while (await receive())["type"] != "http.disconnect":
        pass
