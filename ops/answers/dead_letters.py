"""Records that could not be applied, and what became of them."""

from datetime import datetime

from ops.answers import Answer, PageOf


class DeadLetter(Answer):
    """A record that could not be applied, without what it holds."""

    topic: str
    partition: int
    offset: int
    reason: str
    error: str
    failed_at: datetime
    size_bytes: int
    settled_as: str | None
    settled_at: datetime | None
    settled_by: str | None


class DeadLetters(PageOf[DeadLetter]):
    """A page of them."""


class Header(Answer):
    """A record's header; its value in base64."""

    name: str
    value: str | None


class Content(Answer):
    """What a record holds, in base64."""

    key: str | None
    value: str
    headers: list[Header]


class DeadLetterWhole(DeadLetter):
    """A dead letter; with what it holds if that was asked for."""

    content: Content | None


class DeadLettersWhole(Answer):
    """What stood at one place."""

    items: list[DeadLetterWhole]


class Settled(Answer):
    """What became of a dead letter that was redriven or discarded."""

    topic: str
    partition: int
    offset: int
    outcome: str
    reason: str | None = None
    error: str | None = None


class Settleds(Answer):
    """In the order of the places."""

    items: list[Settled]
