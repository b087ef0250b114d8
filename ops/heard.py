"""What several services say when one of them may be silent: the others are shown, and the command ends with 69.

Whoever looks at a site in trouble needs what can be known most of all. A command asks every service through one Heard
a look; what comes back as None was not said. Invariants: what only a silent service knows is shown as unknown and never
counted as nothing, so a sum that it has a part in is unknown (`total`); who is silent is named in `unreachable`.
"""

from collections.abc import Awaitable
from typing import TypeVar

from ops.exits import Unreachable
from ops.service_api import ASK_DOCTOR, ServiceApi

Said = TypeVar("Said")


class Heard:
    """One look at several services, and who of them did not answer."""

    def __init__(self) -> None:
        self._silent: dict[str, Unreachable] = {}
        self._somebody_answered = False

    async def said(self, by: ServiceApi, answer: Awaitable[Said]) -> Said | None:
        """What `by` answers; None if it does not."""
        try:
            said = await answer
        except Unreachable as error:
            self._silent[by.service] = error
            return None
        self._somebody_answered = True
        return said

    @property
    def unreachable(self) -> dict[str, str]:
        """Who did not answer, and why; the field of that name in what scripts read."""
        return {service: self._silent[service].message for service in sorted(self._silent)}

    def require_somebody(self) -> None:
        """Raises Unreachable if there is nothing to show."""
        if not self._somebody_answered:
            self.require_all()

    def require_all(self, *, meanwhile: str = "") -> None:
        """Raises Unreachable if somebody was silent. All else has been shown, or `meanwhile` says what was done."""
        if self._silent:
            if self._somebody_answered and not meanwhile:
                meanwhile = "What it alone knows is missing, or shown as ?."
            raise Unreachable("; ".join(self.unreachable.values()), todo=f"{meanwhile} {ASK_DOCTOR}".strip())


def total(*parts: int | None) -> int | None:
    """The sum, unless a part of it is unknown."""
    known = [part for part in parts if part is not None]
    return sum(known) if len(known) == len(parts) else None
