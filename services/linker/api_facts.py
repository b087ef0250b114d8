"""What linker has heard of one recording, fact by fact, as its API answers: which version, when, where on its topic."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Self

from pydantic import BaseModel

from schemas.topics import CLOUD_TICKET_UPDATED, RECORDING_PROCESSED, RECORDING_TRANSFERRED
from shared.places import PlaceAnswer, place_answer


class ProcessedAnswer(BaseModel):
    """The newest RecordingProcessed."""

    revision: int
    at: datetime
    place: PlaceAnswer | None


class TransferredAnswer(BaseModel):
    """The newest RecordingTransferred."""

    transfer_version: int
    at: datetime
    place: PlaceAnswer | None


class KnownAnswer(BaseModel):
    """The newest link that the cloud is known to have; without a place, it travelled with the upload."""

    transfer_version: int
    link_version: int
    at: datetime | None
    place: PlaceAnswer | None


class FactsAnswer(BaseModel):
    """What was heard; null: nothing of that kind. Places are those at which a fact was read first."""

    processed: ProcessedAnswer | None
    transferred: TransferredAnswer | None
    known: KnownAnswer | None

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Self:
        """The answer for a row of seen_recordings.facts."""
        return cls(
            processed=ProcessedAnswer(
                revision=row["revision"],
                at=row["processed_at"],
                place=place_answer(RECORDING_PROCESSED, row["processed_place"]),
            )
            if row["revision"]
            else None,
            transferred=TransferredAnswer(
                transfer_version=row["transfer_version"],
                at=row["transferred_at"],
                place=place_answer(RECORDING_TRANSFERRED, row["transferred_place"]),
            )
            if row["transfer_version"]
            else None,
            known=KnownAnswer(
                transfer_version=row["known_transfer_version"],
                link_version=row["known_link_version"],
                at=row["known_at"],
                place=place_answer(CLOUD_TICKET_UPDATED, row["known_place"]),
            )
            if row["known_transfer_version"]
            else None,
        )
