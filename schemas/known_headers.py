"""What headers have in common with others that were good, so that they need not be taken apart and judged again.

Whether headers are good depends on their names, on the values of three, and on the others of the envelope being text,
or a time. All but the other values is kept as a tree: from the beginning of a record's headers, what stands before the
next such value leads to what the value has to be, and to what may come behind it. Lengths are read on the way, so what
is found in the tree has the same names and deciding values, in the same places, as headers that were judged.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from schemas.raw_headers import Span
from schemas.varint import MORE, read_unsigned

DECIDING = frozenset({"content-type", "ce_specversion", "ce_type"})
REMEMBERED = 200
REMEMBERED_BYTES = 2_000

ANYTHING, TEXT, TIME = range(3)


def is_read(name: str) -> bool:
    """Whether a header is anybody's business."""
    return name == "content-type" or name.startswith("ce_")


def is_time(text: str) -> bool:
    """In RFC 3339 form, with an offset."""
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


@dataclass(slots=True)
class _Place:
    """In headers, behind what led here. `ends`: the media type of headers that have this and no other value behind.

    `steps`: what stands before the next value, how many bytes that is, what the value has to be, and what is behind it.
    None of them is the beginning of another: each ends with a name, whose length it holds, and one name's value differs
    in all headers or in none.
    """

    steps: "list[tuple[bytes, int, int, _Place]]" = field(default_factory=list)
    ends: dict[bytes, str] = field(default_factory=dict)

    def step(self, before: bytes, must_be: int) -> "_Place":
        for known, _, _, place in self.steps:
            if known == before:
                return place
        self.steps.append((before, len(before), must_be, place := _Place()))
        return place


class KnownHeaders:
    """Of one event. When there are too many, all are forgotten."""

    def __init__(self) -> None:
        self._beginning = _Place()
        self.number = 0

    def media_type(self, raw: bytes) -> str | None:  # noqa: C901  # a call for each value takes as long as all the rest
        """None: these were not seen before, or something is wrong with them."""
        plain = raw.isascii()
        place, at = self._beginning, 0
        try:
            while True:
                for step in place.steps:
                    if raw.startswith(step[0], at):
                        break
                else:
                    return place.ends.get(raw[at:])
                _, size, must_be, place = step
                at += size + 1
                if (length := raw[at - 1]) >= MORE:
                    length, at = read_unsigned(raw, at - 1)
                end = at if length & 1 else at + (length >> 1)  # what is null has a length below 0
                if must_be == TIME:
                    if not is_time(raw[at:end].decode()):
                        return None
                elif must_be == TEXT:
                    if end == at:
                        return None
                    if not plain:
                        raw[at:end].decode()
                if end > len(raw):
                    return None
                at = end
        except (IndexError, UnicodeDecodeError):
            return None

    def remember(self, raw: bytes, headers: Sequence[tuple[str, Span]], media_type: str) -> None:
        """Headers that are good, with their names."""
        if self.number >= REMEMBERED:
            self._beginning, self.number = _Place(), 0
        place, begin = self._beginning, 0
        for name, one in headers:
            if name not in DECIDING:
                must_be = TIME if name == "ce_time" else TEXT if is_read(name) else ANYTHING
                place, begin = place.step(raw[begin : one.name.stop], must_be), one.end
        self.number += raw[begin:] not in place.ends
        place.ends[raw[begin:]] = media_type
