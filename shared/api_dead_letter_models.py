"""What the routes of dead letters take and answer (shared/api_dead_letters.py); the same in every service."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from schemas.fields import INT32_MAX, INT64_MAX, Instant, Name
from schemas.undecodable import Reason
from shared.cursors import MAX_CHARS

PLACES_MAX = 100
KEY_MAX = 1000

Partition = Annotated[int, Field(ge=0, le=INT32_MAX)]
Offset = Annotated[int, Field(ge=0, le=INT64_MAX)]


class DeadLetterConditions(BaseModel):
    """Conditions on the list; those that are given have to be met, all of them."""

    topic: Name | None = None
    partition: Partition | None = None
    offset: Offset | None = None
    key: str | None = Field(
        None, max_length=KEY_MAX, description="only records of this key, which of facts is the recording_id"
    )
    reason: Reason | None = None
    since: Instant | None = Field(None, description="only what became a dead letter at this time or later")
    settled: bool = Field(default=False, description="those that were redriven or discarded, instead of the open ones")
    limit: int = Field(100, ge=1, le=1000)
    cursor: str = Field("", max_length=MAX_CHARS, description="`next_cursor` of the page before, of the same list")


class DeadLetterAnswer(BaseModel):
    """A record that could not be applied: where it stood, and why. `settled_as`: redriven, discarded, or null."""

    model_config = ConfigDict(from_attributes=True)

    topic: str
    partition: int
    offset: int
    reason: str
    error: str
    failed_at: datetime
    size_bytes: int
    settled_as: str | None
    settled_at: datetime | None
    settled_by: str | None


class DeadLettersAnswer(BaseModel):
    """A page, in order of topic, partition and offset; it is the last without a cursor."""

    items: list[DeadLetterAnswer]
    next_cursor: str | None


class HeaderAnswer(BaseModel):
    """A header; its value in base64."""

    name: str
    value: str | None


class ContentAnswer(BaseModel):
    """What the record holds, in base64."""

    key: str | None
    value: str
    headers: list[HeaderAnswer]


class WholeAnswer(DeadLetterAnswer):
    """A dead letter; `content` is null unless it was asked for."""

    content: ContentAnswer | None


class WholesAnswer(BaseModel):
    """What stood at a place, the newest first: more than one only if the topic was made anew."""

    items: list[WholeAnswer]


class PlaceBody(BaseModel):
    """Where a record stood."""

    model_config = ConfigDict(extra="forbid", strict=True)

    topic: Name
    partition: Partition
    offset: Offset


class PlacesBody(BaseModel):
    """Which; with `dry_run` it is only said what would become of them."""

    model_config = ConfigDict(extra="forbid", strict=True)

    places: list[PlaceBody] = Field(min_length=1, max_length=PLACES_MAX)
    dry_run: bool = False


class SettledAnswer(BaseModel):
    """What became of one. `applied`; `nothing_new`: applied, and nothing was newer than known; `still_dead`, with the
    reason; `discarded`; `not_open`: no dead letter stands there, or it was settled before.
    """

    topic: str
    partition: int
    offset: int
    outcome: Literal["applied", "nothing_new", "still_dead", "discarded", "not_open"]
    reason: str | None = None
    error: str | None = None


class SettledsAnswer(BaseModel):
    """In the order of the places."""

    items: list[SettledAnswer]
