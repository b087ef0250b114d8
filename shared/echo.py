"""Takes out of a server's words what they repeat of what it was sent: tokens, transcripts, customers' names.

Error messages of the cloud are stored, logged and shown, also on pages that want no token. A server that quotes the
value it refuses, or the header that it does not know, would bring secrets there.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from shared.outcome import Done, Invalid, Outcome

# A shorter value is found in ordinary words, and says little.
SHORTEST = 4
# The first so many characters give a longer value away, for it may be quoted in part.
BEGINNING = 12
INSTEAD = "[...]"


def without_echo(outcome: Outcome, *, body: bytes, token: str) -> Outcome:
    """The outcome of a request with this JSON body and this token, its message free of them."""
    if isinstance(outcome, Done):
        return outcome
    sent = {value for value in (token, *_texts(json.loads(body))) if len(value) >= SHORTEST}
    if isinstance(outcome, Invalid):
        errors = {place: _without(error, sent) for place, error in outcome.errors.items()}
        return Invalid(_without(outcome.message, sent), errors)
    return replace(outcome, message=_without(outcome.message, sent))


def _texts(value: Any) -> Iterator[str]:  # noqa: ANN401  # any JSON
    match value:
        case str():
            # As messages are shown: in one line (see shared/outcome.py).
            yield " ".join(value.split())
        case dict():
            for one in value.values():
                yield from _texts(one)
        case list():
            for one in value:
                yield from _texts(one)


def _without(message: str, sent: Iterable[str]) -> str:
    for value in sorted(sent, key=len, reverse=True):
        start = 0
        while (start := message.find(value[:BEGINNING], start)) >= 0:
            end = start
            while end < len(message) and end - start < len(value) and message[end] == value[end - start]:
                end += 1
            message = message[:start] + INSTEAD + message[end:]
            start += len(INSTEAD)
    return message
