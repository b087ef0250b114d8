"""The statements that reach PostgreSQL while a test does something."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from sqlalchemy import event

from shared.database import Database


class Sent(NamedTuple):
    """A statement as the driver gets it, and its parameters."""

    text: str
    parameters: tuple[object, ...]


@contextmanager
def sent_to(database: Database) -> Iterator[list[Sent]]:
    """What is sent to it while the block runs, in its order."""
    statements: list[Sent] = []

    def note(_connection: object, _cursor: object, text: str, parameters: tuple[object, ...], *_: object) -> None:
        statements.append(Sent(text, parameters))

    engine = database._engine.sync_engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        event.remove(engine, "before_cursor_execute", note)
