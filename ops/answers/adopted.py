"""What became of recordings that the cloud is said to have."""

from typing import Literal

from ops.answers import Answer


class AdoptedRecording(Answer):
    """What became of a recording that the cloud is said to have."""

    recording_id: str
    outcome: Literal["adopted", "already", "conflict"]
    filename: str | None = None
    reason: str | None = None
    message: str | None = None


class AdoptedRecordings(Answer):
    """In the order in which they were asked for."""

    items: list[AdoptedRecording]
