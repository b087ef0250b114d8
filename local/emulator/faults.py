"""What the emulator is told to do wrong: armed faults, and routes whose requests are held open.

A fault is taken by the first request that fits it, in the order of arming. What matters to a client is whether the
request had its effect and what the client got to know of it; each kind of fault is one such combination.
"""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import from_json, to_json

from local.emulator import calls
from local.emulator.bodies import InvalidBodyError
from local.emulator.calls import Answer, Call, Route, json_answer

# kind                  effect                    what the client sees
# answer                none                      the fault's answer, after delay_s
# answer_after_effect   at once                   the fault's answer (the cloud's own without `status`), after delay_s
# close_before_effect   none                      the connection closed without an answer, after delay_s
# close_after_effect    at once                   the same
# late_effect           delay_s after the answer  at once: the fault's answer, or a closed connection without `status`
# slow_effect           after delay_s             the cloud's own answer, after it
# slow_drip             at once                   the cloud's own answer, its body byte by byte over delay_s
Kind = Literal[
    "answer",
    "answer_after_effect",
    "close_before_effect",
    "close_after_effect",
    "late_effect",
    "slow_effect",
    "slow_drip",
]
Moment = Literal["before_effect", "after_effect"]

_CONTRACT_ANSWERS = {
    answer.status: answer
    for answer in (
        Answer(200, b"<!DOCTYPE html><title>Maintenance</title>", {"content-type": "text/html; charset=UTF-8"}),
        calls.TO_THE_START_PAGE,
        calls.NO_RECORDING,
        calls.UNAUTHORISED,
        calls.KEY_IN_USE,
        calls.TOO_LARGE,
        calls.too_many(1),
        calls.CRASHED,
        calls.DOWN,
    )
}


class Fault(BaseModel):
    """One thing to go wrong, `times` times (None: until the faults are cleared).

    It fits requests of its route (None: any) that name its filename, if it has one, and have at least `files_at_least`
    files. A `status` without `body` gets the answer that the contract gives for it (200: an HTML page; 422: `errors`
    for its filename); a string as `body` is sent as HTML.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Kind = "answer"
    route: Route | None = None
    filename: str | None = None
    files_at_least: int = 0
    times: int | None = Field(default=1, ge=1)
    delay_s: float = Field(default=0, ge=0)
    status: int | None = Field(default=None, ge=200, le=599)
    headers: dict[str, str] = {}
    body: Any = None

    def fits(self, call: Call) -> bool:
        """Whether the fault is meant for this request."""
        if self.route is not None and call.route != self.route:
            return False
        if self.filename is None and not self.files_at_least:
            return True
        names = _filenames(call)
        return len(names) >= self.files_at_least and (self.filename is None or self.filename in names)

    def answer(self, call: Call) -> Answer:
        """The fault's own answer to this request; 500 if it names no status."""
        status = self.status or calls.CRASHED.status
        if self.body is None:
            usual = _usual(status, call, self.filename)
        elif isinstance(self.body, str):
            usual = Answer(status, self.body.encode(), {"content-type": "text/html; charset=UTF-8"})
        else:
            usual = Answer(status, to_json(self.body))
        headers = {name.lower(): value for name, value in self.headers.items()}
        return Answer(status, usual.body, {**usual.headers, **headers})


@dataclass
class Armed:
    """A fault that is waiting for requests; `taken` counts those it has met."""

    fault: Fault
    taken: int = 0


class Faults:
    """The armed faults, in order; those that are used up stay listed until they are cleared."""

    def __init__(self) -> None:
        self.armed: list[Armed] = []

    def arm(self, fault: Fault) -> None:
        """Adds a fault behind those that are armed already."""
        self.armed.append(Armed(fault))

    def take(self, call: Call) -> Fault | None:
        """The first fault that fits the request, counted as taken."""
        for armed in self.armed:
            left = armed.fault.times is None or armed.taken < armed.fault.times
            if left and armed.fault.fits(call):
                armed.taken += 1
                return armed.fault
        return None

    def clear(self) -> None:
        """Disarms all."""
        self.armed.clear()


@dataclass
class Holds:
    """Routes whose requests wait, before or after their effect, until they are released."""

    waiting: Counter[Route] = field(default_factory=Counter)
    _gates: dict[tuple[Route, Moment], asyncio.Event] = field(default_factory=dict)

    def hold(self, route: Route, moment: Moment) -> None:
        """From now on requests of the route wait at that moment."""
        self._gates.setdefault((route, moment), asyncio.Event())

    def release(self, route: Route | None) -> None:
        """Lets the requests of a route (None: of all) go on, those that wait and those to come."""
        for held in [gate for gate in self._gates if route in (None, gate[0])]:
            self._gates.pop(held).set()

    async def wait(self, route: Route, moment: Moment) -> None:
        """Returns when nothing holds the request at that moment."""
        gate = self._gates.get((route, moment))
        if gate is None:
            return
        self.waiting[route] += 1
        try:
            await gate.wait()
        finally:
            self.waiting[route] -= 1


def _usual(status: int, call: Call, filename: str | None) -> Answer:
    if status in _CONTRACT_ANSWERS:
        return _CONTRACT_ANSWERS[status]
    if status in calls.BODILESS:
        return Answer(status, b"", {})
    if status == calls.UNKNOWN_ROUTE:
        return calls.unknown_route(call.path)
    if status == calls.INVALID:
        names = _filenames(call)
        path = f"files.{names.index(filename) if filename in names else 0}.filename"
        return calls.invalid(InvalidBodyError({path: [f"The {path} field is invalid."]}), wants_json=True)
    return json_answer(status, {"message": f"HTTP {status}"})


def _filenames(call: Call) -> list[str | None]:
    try:
        body = cast("dict[str, Any]", from_json(call.body))
        return [file.get("filename") for file in body["files"]]
    except (ValueError, TypeError, KeyError, AttributeError):
        return []  # not a body with files: no fault for certain files fits it
