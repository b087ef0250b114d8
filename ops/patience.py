"""Patience of a command that watches what a service does: one that is started again goes on, so it is given time."""

from time import monotonic

from ops.exits import Unreachable

PATIENCE_S = 30.0


class Patience:
    """How long the service may be silent; begins when it is made."""

    def __init__(self, patience_s: float = PATIENCE_S) -> None:
        self._patience_s = patience_s
        self._heard_at = monotonic()

    def heard(self) -> None:
        """The service has answered."""
        self._heard_at = monotonic()

    def bear(self, silence: Unreachable, *, todo: str) -> None:
        """Raises the silence, with what to do, once it has lasted too long."""
        if monotonic() - self._heard_at > self._patience_s:
            silence.todo = todo
            raise silence
