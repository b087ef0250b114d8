"""Takes out of a server's words what they repeat of what it was sent: tokens, transcripts, customers' names.

Error messages of the cloud are stored, logged and shown, also on pages that want no token. A server that quotes the
value it refuses, or the header that it does not know, would bring secrets there.
"""

import html
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import unquote

from shared.outcome import MAX_MESSAGE, Done, Invalid, Outcome, one_line

# A shorter value is found in ordinary words, and says little.
SHORTEST = 4
# The first so many characters give a longer value away, for it may be quoted in part.
BEGINNING = 12
# Fewer from anywhere else in a value may be ordinary words as well.
PART = 20
INSTEAD = "[...]"
# A name gives somebody away word by word. Ordinary words of a message are small, and say nothing of a name that is.
NAMED = "_name"
_WORD = re.compile(r"[^\W\d_]{3,}")
# As JSON writes a character; a cloud in PHP writes all that is not ASCII so, and each solidus.
_ESCAPES = re.compile(r'(?:\\u[0-9a-fA-F]{4}|\\["\\/bfnrt])+')
# What is left of a way to write a character where a message was cut within it.
_LEFT_OF_AN_ESCAPE = re.compile(r"(?:\\(?:u[0-9a-fA-F]{0,3})?|%[0-9a-fA-F]?|&#?\w{0,8})$")


def without_echo(outcome: Outcome, *, body: bytes, token: str) -> Outcome:
    """The outcome of a request with this JSON body and this token, its message free of them."""
    if isinstance(outcome, Done):
        return outcome
    texts = [("token", token), *_texts("", json.loads(body))]
    values = {_as_compared(_unescaped(value)) for _, value in texts}
    names = {_unescaped(value) for key, value in texts if key.endswith(NAMED)}
    sent = _Sent(
        values=frozenset(value for value in values if len(value) >= SHORTEST),
        words=frozenset(word for name in names for word in _WORD.findall(name) if not word.islower()),
    )
    if isinstance(outcome, Invalid):
        errors = {place: _without(error, sent) for place, error in outcome.errors.items()}
        return Invalid(_without(outcome.message, sent), errors)
    return replace(outcome, message=_without(outcome.message, sent))


@dataclass(frozen=True)
class _Sent:
    """Values as they are compared, and the words of those that are names, as they are written."""

    values: frozenset[str]
    words: frozenset[str]


def _texts(key: str, value: Any) -> Iterator[tuple[str, str]]:  # noqa: ANN401  # any JSON
    """Each text with the key that it stands under."""
    match value:
        case str():
            yield key, value
        case dict():
            for inner, one in value.items():
                yield from _texts(inner, one)
        case list():
            for one in value:
                yield from _texts(key, one)


def _unescaped(text: str) -> str:
    """In one line, as messages are (see shared/outcome.py), however often JSON, HTML or an address wrote it anew."""
    text = one_line(text)
    while (plain := unquote(html.unescape(_ESCAPES.sub(_read_escapes, text)))) != text:
        text = one_line(plain)  # shorter each time
    return text


def _read_escapes(found: re.Match[str]) -> str:
    return str(json.loads(f'"{found[0]}"'))


def _as_compared(text: str) -> str:
    """The same in whatever case it is quoted, and as long."""
    return text.replace("\u0130", "I").lower()  # the one letter that grows when it becomes small


def _without(message: str, sent: _Sent) -> str:
    return _without_words(_without_values(message, sent.values), sent.words, cut=len(message) >= MAX_MESSAGE)


def _without_values(message: str, sent: frozenset[str]) -> str:
    cut = len(message) >= MAX_MESSAGE
    message = _unescaped(_LEFT_OF_AN_ESCAPE.sub("", message) if cut else message)
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
    if cut and (left := _left_of_a_value(compared, sent)):
        message = message[:-left] + INSTEAD
    return _without_parts(message, sent)


def _without_words(message: str, words: frozenset[str], *, cut: bool) -> str:
    """The same without a name's words, each by itself. Of one that was cut at the end its beginning goes as well."""

    def instead(found: re.Match[str]) -> str:
        word = found[0]
        is_left = cut and found.end() == len(message) and any(one.startswith(word) for one in words)
        return INSTEAD if word in words or is_left else word

    return _WORD.sub(instead, message)


def _left_of_a_value(compared: str, sent: frozenset[str]) -> int:
    """How many characters at the end, where the message was cut, are less than a beginning of a value."""
    sizes = range(BEGINNING - 1, SHORTEST - 1, -1)
    return next((size for size in sizes if any(compared.endswith(value[:size]) for value in sent)), 0)


def _without_parts(message: str, sent: frozenset[str]) -> str:
    """The same without what stands anywhere within a value, `PART` characters or more of it.

    Every second half of a part is looked for, and whatever stands around it is compared: a search for each character of
    the message in megabytes of transcripts would take too long.
    """
    text, step, place = "\n".join(sent), PART // 2, 0  # no message has a line feed
    compared = _as_compared(message)
    while place + step <= len(compared):
        found = _part_around(compared, place, step, text)
        if found is None:
            place += step
            continue
        start, end = found
        message = message[:start] + INSTEAD + message[end:]
        compared = compared[:start] + INSTEAD + compared[end:]
        place = start + len(INSTEAD)
    return message


def _part_around(compared: str, place: int, size: int, text: str) -> tuple[int, int] | None:
    """From where to where the message says what stands in the text as well, these characters of it among that."""
    wanted = compared[place : place + size]
    at = text.find(wanted)
    while at >= 0:
        left = _alike(compared[:place][::-1], text[max(0, at - place) : at][::-1])
        right = _alike(compared[place + size :], text[at + size : at + len(compared)])
        if left + size + right >= PART:
            return place - left, place + size + right
        at = text.find(wanted, at + 1)
    return None


def _alike(one: str, other: str) -> int:
    """How many characters are the same at the beginning of both."""
    return next(
        (size for size, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other))
    )
