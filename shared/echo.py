"""Takes out of a server's words what they repeat of what it was sent: tokens, transcripts, customers' names.

Error messages of the cloud are stored, logged and shown, also on pages that want no token. A server that quotes the
value it refuses, or the header that it does not know, would bring secrets there.
"""

import html
import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from shared.outcome import MAX_MESSAGE, Done, Invalid, Outcome, one_line

# A shorter value is found in ordinary words, and says little.
SHORTEST = 4
# The first so many characters give a longer value away, for it may be quoted in part.
BEGINNING = 12
INSTEAD = "[...]"


def without_echo(outcome: Outcome, *, body: bytes, token: str) -> Outcome:
    """The outcome of a request with this JSON body and this token, its message free of them."""
    if isinstance(outcome, Done):
        return outcome
    sent = {_as_compared(value) for value in (token, *_texts(json.loads(body)))}
    sent = {value for value in sent if len(value) >= SHORTEST}
    if isinstance(outcome, Invalid):
        errors = {place: _without(error, sent) for place, error in outcome.errors.items()}
        return Invalid(_without(outcome.message, sent), errors)
    return replace(outcome, message=_without(outcome.message, sent))


def _texts(value: Any) -> Iterator[str]:  # noqa: ANN401  # any JSON
    match value:
        case str():
            yield value
        case dict():
            for one in value.values():
                yield from _texts(one)
        case list():
            for one in value:
                yield from _texts(one)


def _as_compared(text: str) -> str:
    """As long as in one line, as messages are (see shared/outcome.py), and the same in whatever case it is quoted."""
    return one_line(text).replace("\u0130", "I").lower()  # the one letter that grows when it becomes small


def _without(message: str, sent: Iterable[str]) -> str:
    cut = len(message) >= MAX_MESSAGE
    message = one_line(html.unescape(message))
    compared = _as_compared(message)
    for value in sorted(sent, key=len, reverse=True):
        start = 0
        while (start := compared.find(value[:BEGINNING], start)) >= 0:
            end = start
            while end < len(compared) and end - start < len(value) and compared[end] == value[end - start]:
                end += 1
            message = message[:start] + INSTEAD + message[end:]
            compared = compared[:start] + INSTEAD + compared[end:]
            start += len(INSTEAD)
    left = _left_of_a_value(compared, sent) if cut else 0
    return message[:-left] + INSTEAD if left else message


def _left_of_a_value(compared: str, sent: Iterable[str]) -> int:
    """How many characters at the end, where the message was cut, are less than a beginning of a value."""
    sizes = range(BEGINNING - 1, SHORTEST - 1, -1)
    return next((size for size in sizes if any(compared.endswith(value[:size]) for value in sent)), 0)
