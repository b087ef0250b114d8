"""Deliberate bugs that only real processes show: each takes one rule out of the product before a process starts.

The run must find a broken promise; with every promise kept it would prove nothing about the rule.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from services.transfer import answers, freeze_requests
from shared.cloud import Cloud


@dataclass(frozen=True)
class ProcessBug:
    """`apply` changes this process for good; `only`: the classes of faults under which it must be caught; `breaks`:
    words of the promise that must be found broken."""

    what: str
    apply: Callable[[], None]
    only: tuple[str, ...]
    breaks: str


def _key_on_update_ticket() -> None:
    post = Cloud.post

    async def with_key(self: Cloud, call: Any, path: str, body: bytes, **named: Any) -> Any:  # noqa: ANN401  # as post
        key = named.pop("idempotency_key", None) or hashlib.sha256(body).hexdigest()
        return await post(self, call, path, body, idempotency_key=key, **named)

    Cloud.post = with_key  # type: ignore[method-assign]


def _repeat_whatever_the_cloud_honours() -> None:
    for module in (answers, freeze_requests):
        assert hasattr(module, "decide_unrecorded_outcome")
        module.decide_unrecorded_outcome = lambda **_: answers.SendAgain()  # type: ignore[attr-defined]


PROCESS_BUGS: Mapping[str, ProcessBug] = {
    "key on update-ticket": ProcessBug(
        "a push carries an Idempotency-Key, so that a repeated unlink has no effect",
        _key_on_update_ticket,
        ("said again",),
        "a repeated unlink would have no effect",
    ),
    "repeated without keys": ProcessBug(
        "an upload of unknown outcome is repeated although the cloud honours no keys",
        _repeat_whatever_the_cloud_honours,
        ("a cloud without idempotency keys",),
        "had its effect a second time",
    ),
}


def break_product(name: str) -> None:
    """Apply the bug of this name to this process."""
    PROCESS_BUGS[name].apply()
