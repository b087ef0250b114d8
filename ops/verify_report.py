"""What `verify` has found so far; however much that is, only what a table shows and a lot for --repair is in memory."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, get_args

from ops import show
from ops.answers.verification import Compared, Verdict, Verification
from ops.json_stream import JsonStream
from ops.so_far import SoFar
from ops.verify_findings import NextSteps
from ops.verify_repair import Repair

SHOWN_MAX = 1_000


@dataclass
class Report(SoFar):
    """What was found so far, in so many folders. Findings go to `stream`, or the first of them to `shown`.

    `unread`: folders that the cloud does not show, and why. `repair`: asks for pushes, if that was wanted.
    """

    stream: JsonStream | None = None
    repair: Repair | None = None
    counts: Counter[Verdict] = field(default_factory=Counter)
    shown: list[tuple[str, Compared]] = field(default_factory=list)
    steps: NextSteps = field(default_factory=NextSteps)
    unread: list[tuple[str, str]] = field(default_factory=list)
    folders: int = 0
    observed: bool = True

    @property
    def found(self) -> int:
        """How many need a look."""
        return sum(number for verdict, number in self.counts.items() if verdict != "in_sync")

    async def add(self, answer: Verification) -> None:
        """Note what a folder shows, and have it mended. Raises Unreachable if nobody can be asked for that."""
        self.folders += 1
        self.observed = self.observed and answer.observed
        self.counts.update(answer.counts)
        found = [one for one in answer.items if one.verdict != "in_sync"]
        for one in found:
            self.steps.add(answer.folder_id, one)
        if self.stream:
            self.stream.add("findings", ({"folder_id": answer.folder_id, **one.model_dump()} for one in found))
        else:
            self.shown += [(answer.folder_id, one) for one in found[: SHOWN_MAX - len(self.shown)]]
        if self.repair:
            await self.repair.add(found)

    def end_json(self, stream: JsonStream) -> None:
        """Write what scripts read behind the findings."""
        stream.add("findings", ())
        rest: dict[str, Any] = {
            "observed": self.observed,
            "folders": self.folders,
            "counts": {verdict: self.counts[verdict] for verdict in get_args(Verdict)},
            "unread": [{"folder_id": folder_id, "message": why} for folder_id, why in self.unread],
            "pushed_again": self.repair.pushed if self.repair else 0,
            "ended_early": self.ended_early,
        }
        stream.end(rest)

    def show(self) -> None:
        """Print the form that people read."""
        show.table(("verdict", "recordings"), [(verdict, self.counts[verdict]) for verdict in get_args(Verdict)])
        if self.shown:
            show.table(
                ("recording", "folder", "verdict", "link", "cloud shows"),
                [
                    (
                        one.recording_id or f"({one.filename})",
                        folder_id,
                        one.verdict,
                        one.link_version or None,
                        _shown(one),
                    )
                    for folder_id, one in self.shown
                ],
            )
        if self.unread:
            show.table(("folder", "why it was not read"), self.unread[:SHOWN_MAX])
        if self.found > SHOWN_MAX:
            show.note(f"These are the first {SHOWN_MAX:,} of {self.found:,}; all: --json")


def _shown(one: Compared) -> str | None:
    if one.shown_ticket_id is None:
        return None
    return one.shown_ticket_id + ("" if one.shown_link_version is None else f" (link {one.shown_link_version})")
