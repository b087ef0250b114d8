"""What the outcome of a request or of a ping means for a lane, and how long is waited in it. Pure.

    reason         what is tried meanwhile                              what opens it
    not_reached    a ping a second                                      any answer to a ping
    unauthorized   a ping every few seconds                             a ping that is accepted
    rate_limited   nothing until the time the cloud named               a probe that succeeds
    no_route       one due request after a second, then one a minute    a probe that succeeds, or ping names the route
    circuit_open   one due request a second; pings reset their waits    a probe that succeeds
    paused         pings                                                a person (shared/pause.py)

A request that meets an outage may leave something behind that nobody knows of. Where that must not be repeated, none is
sent in an open circuit unless a ping was answered; each that is sent makes the wait for the next ping longer. One
request alone may be refused as if token or route were wrong for all: it waits by its own failures, and a lane that
opens after such a refusal does not call it back, else it would stop all others again and again.
"""

import re
from dataclasses import dataclass
from typing import Literal, TypeAlias

from shared.backoff import MOST_S
from shared.lane_state import PROBE_S, LaneState
from shared.outcome import Done, NoRoute, NothingDone, Outcome, RateLimited, Unauthorized, Unknown

FAILURES_TO_OPEN = 5
PING_S = {"not_reached": 1.0, "unauthorized": 3.0, "circuit_open": 5.0, "no_route": 60.0, "rate_limited": 60.0}
DEFAULT_RATE_WAIT_S = 10.0
# The first probe is another request than the one that was refused: it may have been that alone.
FIRST_PROBE_S = 1.0
# Stopped so by a request that may have been refused alone: whoever waits has a reason of its own.
REFUSED = ("unauthorized", "no_route")

# What follows for those that wait: all are due at once, or whoever is due anyhow may go.
Freed = Literal["all", "due"]


@dataclass(frozen=True)
class Stop:
    """For all of them; the first probe goes after so long, None: only a ping helps."""

    reason: str
    message: str
    probe_in_s: float | None


@dataclass(frozen=True)
class CountFailure:
    """It may be this request's alone; with enough in a row the circuit opens."""

    message: str


@dataclass(frozen=True)
class Open:
    """`call_back`: all that wait are due at once, whatever the lane was stopped for."""

    call_back: bool = False


@dataclass(frozen=True)
class LetOneThrough:
    """The cloud answers pings: one due request may find out whether it does more."""


@dataclass(frozen=True)
class SayWhy:
    """It stays stopped, for a newer reason."""

    message: str


def decide_after_request(outcome: Outcome, entered: LaneState | None) -> Stop | CountFailure | Open:
    """`entered` is what the request entered with, if that is known."""
    match outcome:
        case RateLimited(message, retry_after_s):
            wait_s = DEFAULT_RATE_WAIT_S if retry_after_s is None else retry_after_s
            return Stop("rate_limited", message, wait_s)
        case Unauthorized(message):
            return Stop("unauthorized", message, None)
        case NoRoute(message):
            probed = entered is not None and entered.reason == "no_route"
            return Stop("no_route", message, PROBE_S["no_route"] if probed else FIRST_PROBE_S)
        case NothingDone(message) | Unknown(message):
            return CountFailure(message)
        case _:  # whatever else came, the cloud has looked at the request and answered
            return Open()


AfterPing: TypeAlias = Stop | Open | LetOneThrough | SayWhy | None


def decide_after_ping(outcome: Outcome, state: LaneState, *, route: str | None) -> AfterPing:
    """`state` is of before; `route`: the capability that says that the route is there."""
    match outcome:
        case Done(data):
            newly_there = route in names(data.get("capabilities")) and route not in state.capabilities
            if state.met == "no_route" and newly_there:
                return Open(call_back=True)
            if state.met in {"not_reached", "unauthorized"}:
                return Open()
            return LetOneThrough() if state.met == "circuit_open" else None
        case Unauthorized(message):
            return Stop("unauthorized", message, None)
        case NothingDone(message) | Unknown(message):
            # Else what the requests themselves meet decides.
            return SayWhy(message) if state.met == "not_reached" else None
        case _ if state.met == "not_reached":
            return Open()  # it answers, though not to pings: it names no capabilities
        case _:
            return LetOneThrough() if state.met == "circuit_open" else None


def probe_s(reason: str, *, leaves_traces: bool) -> float | None:
    """When the next probe may go, after one, or as the lane is stopped; None: once a ping was answered."""
    if reason == "circuit_open" and leaves_traces:
        return None
    return PROBE_S.get(reason, 1.0)


def ping_s(state: LaneState, *, usual_s: float, leaves_traces: bool) -> float:
    """How long after the last ping the next is due."""
    wait_s = PING_S.get(state.met or "", usual_s)
    if state.met == "circuit_open" and leaves_traces:
        return min(wait_s * 2.0 ** min(state.failures - FAILURES_TO_OPEN, 20), MOST_S)
    return wait_s


def freed(was: str | None) -> Freed | None:
    """Who may go once a lane is open that was stopped so; None: it was not stopped."""
    return (was or None) and ("due" if was in REFUSED else "all")


def names(listed: object) -> list[str]:
    """Capabilities as the cloud lists them; what cannot be the name of one is left out."""
    found = listed if isinstance(listed, list) else []
    return sorted({name for name in found if isinstance(name, str) and re.fullmatch(r"[a-z0-9-]{1,50}", name)})
