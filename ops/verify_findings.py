"""What is to be done about what `verify` finds: which of it a push mends, and a sentence for each kind that none does.

Pure, and no larger than a few findings, however many are added. A push says which ticket a file has, and nothing else:
it brings back no file, takes none away, and has nothing to say of a recording that was never linked.
"""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field

from ops.answers.verification import Compared
from ops.commands_told import argument


def to_push(found: Sequence[Compared]) -> list[str]:
    """The recordings that have a link to push.

    Also what is missing: by its push the loss of a whole folder becomes known to those who make it anew.
    """
    return [one.recording_id for one in found if one.recording_id is not None and one.link_version > 0]


@dataclass
class NextSteps:
    """What has been found so far, as far as the sentences tell it. `missing_from`: two of these folders, if several."""

    linked: bool = False
    unlinked: Compared | None = None
    missing_from: set[str] = field(default_factory=set)
    extra: bool = False

    def add(self, folder_id: str, one: Compared) -> None:
        """Note a finding."""
        match one.verdict:
            case "missing_in_cloud":
                if len(self.missing_from) < 2:  # noqa: PLR2004 - one is named, several are not
                    self.missing_from.add(folder_id)
            case "extra_in_cloud":
                self.extra = True
            case _ if one.link_version > 0:
                self.linked = True
            case _:
                self.unlinked = self.unlinked or one

    def told(self, *, repair: bool) -> list[str]:
        """One sentence for each kind of finding that is there. `repair`: what a push mends is being pushed."""
        steps = []
        if self.linked and not repair:
            steps.append("stale, ticket_mismatch: the same command with --repair pushes their tickets again.")
        if self.unlinked:
            one = argument(str(self.unlinked.recording_id))
            steps.append(
                f"{self.unlinked.verdict} without a link: nobody has linked the recording here, so there is nothing "
                f"to push. Say which ticket is right: ticketsync link --ticket TICKET {one} (and, if none, then unlink "
                "it)."
            )
        if self.missing_from:
            folder = shlex.quote(min(self.missing_from)) if len(self.missing_from) == 1 else "FOLDER"
            steps.append(
                "missing_in_cloud: a push brings back no file. A folder that is gone as a whole is made anew: "
                f"ticketsync transfer retry --folder {folder}, once ticketsync transfer list shows it (by the push of "
                "one of its links; if it has none, see docs/held-uploads.md). Single files only the cloud can restore."
            )
        if self.extra:
            steps.append(
                "extra_in_cloud: no recording here explains the file, or it is there twice. Delete it in the cloud, or "
                "say which recording it is: ticketsync adopt."
            )
        return steps
