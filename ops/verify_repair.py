"""Asks cloud_updater to push again what `verify` finds, as many recordings at a time as one request may name."""

from collections.abc import Sequence

from ops.addresses import Addresses
from ops.answers.verification import Compared
from ops.verify_findings import to_push
from schemas.events import RESYNC_RECORDINGS_MAX


class Repair:
    """Findings as they come, in forced requests that name them; `pushed`: how many were asked for."""

    def __init__(self, addresses: Addresses, *, by: str) -> None:
        """`by`: who asks."""
        self.pushed = 0
        self._addresses, self._by = addresses, by
        self._waiting: list[str] = []

    async def add(self, found: Sequence[Compared]) -> None:
        """Take what a push mends, and ask once there is enough for a request. Raises Unreachable."""
        self._waiting += to_push(found)
        while len(self._waiting) >= RESYNC_RECORDINGS_MAX:
            await self._ask()

    async def end(self) -> None:
        """Ask for the rest. Raises Unreachable."""
        if self._waiting:
            await self._ask()

    async def _ask(self) -> None:
        # On demand: whoever only looks needs no client of Kafka.
        from ops.resync_requests import publish, request_for  # noqa: PLC0415

        # Taken before anything is awaited, as others add meanwhile.
        lot = self._waiting[:RESYNC_RECORDINGS_MAX]
        del self._waiting[:RESYNC_RECORDINGS_MAX]
        await publish(self._addresses, [request_for({"recording_ids": lot, "force": True}, self._by)])
        self.pushed += len(lot)
