"""What is to be done about what `verify` finds: which of it a push mends, and a sentence for each kind that none does.

Pure. A push says which ticket a file has, and nothing else: it brings back no file, takes none away, and has nothing to
say of a recording that was never linked.
"""

import shlex
from collections.abc import Sequence
from typing import TypeAlias

from ops.answers.verification import Compared
from ops.commands_told import argument

# With the folder_id of each.
Findings: TypeAlias = Sequence[tuple[str, Compared]]


def to_push(findings: Findings) -> list[tuple[str, str]]:
    """(folder_id, recording_id) of what has a link to push, in order.

    Also what is missing: by its push the loss of a whole folder becomes known to those who make it anew.
    """
    return sorted(
        (folder_id, one.recording_id)
        for folder_id, one in findings
        if one.recording_id is not None and one.link_version > 0
    )


def next_steps(findings: Findings, *, repair: bool) -> list[str]:
    """One sentence for each kind of finding that is there. `repair`: what a push mends is being pushed."""
    missing = [found for found in findings if found[1].verdict == "missing_in_cloud"]
    extra = [found for found in findings if found[1].verdict == "extra_in_cloud"]
    others = [found for found in findings if found[1].verdict not in {"missing_in_cloud", "extra_in_cloud"}]
    unlinked = [found for found in others if found[1].link_version == 0]
    steps = []
    if len(unlinked) < len(others) and not repair:
        steps.append("stale, ticket_mismatch: the same command with --repair pushes their tickets again.")
    if unlinked:
        one = argument(str(unlinked[0][1].recording_id))
        steps.append(
            f"{unlinked[0][1].verdict} without a link: nobody has linked the recording here, so there is nothing to "
            f"push. Say which ticket is right: ticketsync link --ticket TICKET {one} (and, if none, then unlink it)."
        )
    if missing:
        folder = _folder(missing)
        steps.append(
            "missing_in_cloud: a push brings back no file. A folder that is gone as a whole is made anew: "
            f"ticketsync transfer retry --folder {folder}, once ticketsync transfer list shows it (by the push of one "
            "of its links; if it has none, see docs/held-uploads.md). Single files only the cloud can restore."
        )
    if extra:
        steps.append(
            "extra_in_cloud: no recording here explains the file, or it is there twice. Delete it in the cloud, or say "
            "which recording it is: ticketsync adopt."
        )
    return steps


def _folder(findings: Findings) -> str:
    """Their folder, if it is one."""
    folder_ids = {folder_id for folder_id, _ in findings}
    return shlex.quote(folder_ids.pop()) if len(folder_ids) == 1 else "FOLDER"
