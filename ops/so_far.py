"""Work of many steps that may end in the middle, as when a service dies: what was done is shown, then the error.

Whoever does the steps notes in one of these what each led to; the command shows it in any case, and asks `require_end`
then. A step that was under way may have been done and is not shown, so only work that may be done again is done so.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ops.exits import Stop

SHOWN = "What was done until then is shown."
AGAIN = "Then the same command again: it goes on with what is left, and does nothing twice."


@dataclass
class SoFar:
    """Whether it came to its end."""

    stopped_by: Stop | None = None

    @contextmanager
    def noted(self) -> Iterator[None]:
        """A Stop ends the block, and is kept for later."""
        try:
            yield
        except Stop as stop:
            self.stopped_by = stop

    @property
    def ended_early(self) -> str | None:
        """Why it did not come to its end; the field of that name in what scripts read."""
        return self.stopped_by.message if self.stopped_by else None

    def require_end(self, *, again: str = AGAIN) -> None:
        """Raises what stopped it, with how to go on. All else has been shown."""
        if self.stopped_by:
            todo = self.stopped_by.todo.rstrip(".")
            self.stopped_by.todo = " ".join(filter(None, (SHOWN, todo and f"{todo}.", again)))
            raise self.stopped_by
