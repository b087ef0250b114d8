"""Checks any cloud application against the contract, from outside: `python -m local.emulator.conformance URL`.

In: its address and, in CLOUDS_TOKEN, its token. Out: one line per rule, and exit code 1 if one is broken. Rules of a
capability that the application does not announce are left out. It makes folders named "conformance check" and deletes
them again; it sends fewer than the documented 100 requests, so one run a minute is within the limit.
"""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote

import httpx

from local.emulator.calls import PREFIX
from local.emulator.rules import RULES, Application, BrokenRuleError
from local.emulator.settings import Capability

TIMEOUT_S = 30
UNREACHABLE = 69
CONFIGURATION_ERROR = 78


@dataclass(frozen=True)
class Result:
    """What became of one rule."""

    rule: str
    outcome: Literal["kept", "broken", "left out"]
    detail: str = ""


def check(url: str, token: str) -> list[Result]:
    """Runs every rule against the application at this address (without the contract's prefix).

    Raises:
        httpx.HTTPError: the application cannot be reached.
    """
    headers = {"authorization": f"Bearer {token}", "accept": "application/json"}
    with httpx.Client(base_url=url, headers=headers, timeout=TIMEOUT_S, trust_env=False) as http:
        announced = _announced(http.post(f"{PREFIX}/ping"))
        with _cleaned_up(Application(http)) as application:
            return [_result(application, rule, needs, announced) for rule, needs in RULES]


def main(arguments: list[str]) -> int:
    """Prints what became of each rule; 0 if all are kept, 1 if one is broken, 2, 69 or 78 if it cannot run."""
    if len(arguments) != 1:
        print("usage: python -m local.emulator.conformance URL", file=sys.stderr)
        return 2
    token = os.environ.get("CLOUDS_TOKEN")
    if not token:
        print("CLOUDS_TOKEN is not set", file=sys.stderr)
        return CONFIGURATION_ERROR
    try:
        results = check(arguments[0], token)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        print(f"{arguments[0]} does not answer: {error or type(error).__name__}", file=sys.stderr)
        return UNREACHABLE
    for result in results:
        print(f"{result.outcome:8}  {result.rule}" + (f"\n          {result.detail}" if result.detail else ""))
    return int(any(result.outcome == "broken" for result in results))


def _announced(pong: httpx.Response) -> set[str]:
    try:
        return set(pong.json()["capabilities"])
    except (ValueError, KeyError, TypeError):
        return set()  # a cloud without the list has none; whether the answer is right at all is a rule


@contextmanager
def _cleaned_up(application: Application) -> Iterator[Application]:
    try:
        yield application
    finally:
        for uuid in dict.fromkeys(application.made):
            application.http.delete(f"{PREFIX}/recording/{quote(uuid, safe='')}")


def _result(
    application: Application, rule: Callable[[Application], None], needs: frozenset[Capability], announced: set[str]
) -> Result:
    sentence = rule.__doc__ or rule.__name__
    if missing := sorted(needs - announced):
        return Result(sentence, "left out", f"not announced: {', '.join(missing)}")
    try:
        rule(application)
    except BrokenRuleError as broken:
        return Result(sentence, "broken", str(broken))
    except httpx.HTTPError as error:
        return Result(sentence, "broken", f"no answer: {type(error).__name__}")
    except (KeyError, TypeError, AttributeError) as error:
        return Result(sentence, "broken", f"an answer is not in the documented form: {error!r}")
    return Result(sentence, "kept")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
