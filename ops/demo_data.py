"""What the demo plays with: a call centre's recordings of one month, and the tickets that belong to them.

Made from the numbers alone, so every run is the same and the end can be compared with what was asked for.
"""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from schemas.events import RecordingProcessed

FOLDERS = 20
RECORDINGS_PER_FOLDER = 50
# Of each folder: linked before the first upload, while the uploads run, and after them.
BEFORE, DURING = 20, 15

Phase = Literal["before", "during", "after"]

CUSTOMERS = ("John Doe", "Anna Weiß", "Siobhán O'Brien", "Nguyễn An", "Acme & Sons, Inc.")
AGENTS = ("Agent Smith", "Agent Jones", "Agent Müller")
INTENTS = ("Support Request", "Billing", "Cancellation")
OUTCOMES = ("Resolved", "Call back", "Escalated")
FIRST_CALL = datetime(2025, 1, 1, 8, 0, tzinfo=UTC)


@dataclass(frozen=True)
class Call:
    """A recording and the ticket it is to have."""

    recording: RecordingProcessed
    ticket_id: str
    phase: Phase


def calls() -> list[Call]:
    """All calls, folder by folder."""
    return list(_calls())


def spreadsheet(chosen: Sequence[Call]) -> str:
    """The CSV file that links these calls, as a help desk would export it."""
    text = io.StringIO()
    rows = csv.writer(text)
    rows.writerow(
        ("recording_name", "folder", "ticket_id", "customer_name", "agent_name", "call_intent", "call_outcome")
    )
    for number, call in enumerate(chosen):
        rows.writerow(
            (
                call.recording.filename,
                call.recording.folder_name,
                call.ticket_id,
                CUSTOMERS[number % len(CUSTOMERS)],
                AGENTS[number % len(AGENTS)],
                INTENTS[number % len(INTENTS)],
                OUTCOMES[number % len(OUTCOMES)],
            )
        )
    return text.getvalue()


def _calls() -> Iterator[Call]:
    for folder in range(1, FOLDERS + 1):
        for number in range(1, RECORDINGS_PER_FOLDER + 1):
            at = FIRST_CALL + timedelta(days=folder, minutes=5 * number)
            transcript = f"Agent: thank you for calling. Customer: this is call {number} of day {folder}. " * 4
            recording = RecordingProcessed(
                recording_id=f"demo-{folder:02}-{number:03}",
                folder_id=f"demo-{folder:02}",
                folder_name=f"{at:%Y-%m-%d}",
                filename=f"recording_{number:03}.wav",
                size_bytes=40_000 * number,
                token=len(transcript.split()),
                transcript=transcript,
                recorded_at=at,
                processed_at=at + timedelta(minutes=20),
            )
            yield Call(recording, f"TKT-{folder:02}{number:03}", _phase(number))


def _phase(number: int) -> Phase:
    if number <= BEFORE:
        return "before"
    return "during" if number <= BEFORE + DURING else "after"
