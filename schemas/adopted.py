"""Recordings that the cloud had before this system: one as transfer's API takes it, and one as a line of the file.

They are no events: nobody publishes them. What a RecordingProcessed has said already may be left out.
"""

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from schemas.events import TicketDetails
from schemas.fields import ACloudsUuid, AFolderId, ARecordingId, Count, Name, Text100, Transcript

ADOPTED_MAX = 500


class Adopted(BaseModel):
    """A recording and where it is. The file's name, size, token and transcript are as the cloud has them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    recording_id: ARecordingId
    folder_id: AFolderId
    clouds_uuid: ACloudsUuid = Field(description="the folder's identity in the cloud")
    filename: Name | None = None
    size: Annotated[Text100 | None, Field(description="as text, such as 2.5 MB; or give size_bytes")] = None
    size_bytes: Count | None = None
    token: Count | None = None
    transcript: Transcript | None = None

    @model_validator(mode="after")
    def _has_one_size(self) -> Self:
        if self.size is not None and self.size_bytes is not None:
            raise ValueError("size and size_bytes say the same: give one of them")
        return self


class AdoptedLine(Adopted):
    """A line of the file: also the ticket that the cloud shows, if that is known."""

    ticket_info: TicketDetails | None = None
