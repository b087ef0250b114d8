"""Shows a person what an import did: how many rows came to what, and which need a look, each with its reason."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ops import show
from ops.answers.imports import ImportProgress

NEED_A_LOOK = ("ambiguous", "invalid")
ROWS_SHOWN = 20
MEANINGS = {
    "matched": "linked to a recording that had no ticket",
    "overwrite": "linked in place of another ticket",
    "unchanged": "left as it was",
    "parked": "waits for its recording",
    "duplicate": "a later line names the same recording",
    "ambiguous": "fits more than one recording",
    "invalid": "cannot be used",
}


def show_import(receipt: ImportProgress, rows: Sequence[dict[str, Any]], *, report: Path | None) -> None:
    """Counts first, then the rows that need a look."""
    counted = [
        (outcome, receipt.counts[outcome], words) for outcome, words in MEANINGS.items() if outcome in receipt.counts
    ]
    show.table(("outcome", "rows", "meaning"), [*counted, ("in all", receipt.rows_total, "rows of the file")])
    attention = [row for row in rows if row.get("outcome") in NEED_A_LOOK]
    if attention:
        show.table(
            ("line", "outcome", "why"),
            [(row.get("line"), row.get("outcome"), _why(row)) for row in attention[:ROWS_SHOWN]],
        )
    if len(attention) > ROWS_SHOWN:
        show.note(f"{len(attention) - ROWS_SHOWN:,} more: --json or --report shows all")
    if report:
        show.note(f"What became of each row stands in {report}")


def _why(row: dict[str, Any]) -> str:
    """In words, such as: ticket_id: is empty (a.wav)."""
    name = row.get("filename") or row.get("recording_id")
    named = f" ({name})" if name else ""
    if candidates := row.get("candidates"):
        fits = ", ".join(f"{one.get('recording_id')} in {one.get('folder_id')}" for one in candidates)
        return f"fits {fits}; name the folder or the recording_id{named}"
    return f"{row.get('field')}: {row.get('message')}{named}"
