"""cloud_updater's HTTP API, the part that reads back: which folders the cloud has, and if one shows what it should."""

import math
from collections import Counter
from collections.abc import Collection
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel

from services.cloud_updater import seen
from services.cloud_updater.comparison import VERDICTS, Compared, Verdict
from services.cloud_updater.verify_folders import NotRead, Verified, VerifyFolders
from shared.cursors import Cursor, cursor_of, place_of
from shared.lane import Lane
from shared.lane_state import LaneShut
from shared.service import Service
from shared.web import Problem, ProblemDetails

REFUSED: dict[int | str, dict[str, Any]] = {
    404: {"model": ProblemDetails, "description": "Unknown"},
    502: {"model": ProblemDetails, "description": "The cloud does not say what it shows"},
}


class FolderAnswer(BaseModel):
    """A folder in the cloud, and how many recordings are in it as far as is known here."""

    clouds_uuid: str
    folder_id: str
    recordings: int


class FoldersAnswer(BaseModel):
    """A page of folders; it is the last without a cursor."""

    items: list[FolderAnswer]
    next_cursor: str | None


class ComparedAnswer(BaseModel):
    """A recording, or (without recording_id) a file that the cloud has besides.

    `link_version` and `shown_link_version`: of the newest link, and of what the cloud shows, if it says so. Tickets by
    their ids; null: none.
    """

    recording_id: str | None
    filename: str
    verdict: Verdict
    link_version: int
    shown_link_version: int | None
    shown_ticket_id: str | None


class VerificationAnswer(BaseModel):
    """How many recordings of the folder got which verdict, and those that are not in sync, or were asked for.

    `observed` is false if the cloud cannot be read: then the verdicts rest on what it has acknowledged.
    """

    clouds_uuid: str
    folder_id: str
    observed: bool
    counts: dict[str, int]
    items: list[ComparedAnswer]


def reading_back(service: Service, lane: Lane) -> APIRouter:
    """The routes that compare."""
    router = APIRouter()
    verifying = VerifyFolders(service.database, lane.cloud, lane)

    @router.get("/folders")
    async def list_folders(
        folder: str | None = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        cursor: Annotated[Cursor, Query()] = "",
    ) -> FoldersAnswer:
        """Folders in the cloud, all or those of this folder_id, a page at a time; one uploaded again is there twice."""
        place = place_of(cursor, "uuid", parts=1)
        async with service.database.transaction() as connection:
            found = await seen.folders(connection, folder_id=folder, after=place[0] if place else "", limit=limit)
        return FoldersAnswer(
            items=[FolderAnswer(**one) for one in found],
            next_cursor=cursor_of("uuid", [found[-1]["clouds_uuid"]]) if len(found) == limit else None,
        )

    @router.get("/folders/{clouds_uuid:anything}/verification", responses=REFUSED)
    async def verify_folder(
        clouds_uuid: str,
        recording: Annotated[list[str] | None, Query(max_length=1000, description="only these recording_ids")] = None,
    ) -> VerificationAnswer:
        """Read the folder back from the cloud and compare it with what it should show; nothing is changed."""
        try:
            verified = await verifying.verify(clouds_uuid)
        except LaneShut as shut:
            wait_s = math.ceil(shut.retry_s or 1)
            detail = "It is another request's turn (CLOUD_REQUESTS_PER_MINUTE)"
            raise Problem(503, "Not now", detail, retry_after_s=wait_s) from None
        except NotRead as error:
            if error.retry_s is not None:
                raise Problem(503, "Not now", error.why, retry_after_s=math.ceil(error.retry_s)) from None
            raise Problem(502, "Not read", error.why) from None
        if verified is None:
            raise Problem(404, "Unknown folder", "Nothing was transferred to a folder of this uuid; see GET /folders")
        return _answer(clouds_uuid, verified, only=recording)

    return router


def _answer(clouds_uuid: str, verified: Verified, *, only: Collection[str] | None) -> VerificationAnswer:
    about = [one for one in verified.compared if only is None or one.recording_id in only]
    counts = Counter(one.verdict for one in about)
    return VerificationAnswer(
        clouds_uuid=clouds_uuid,
        folder_id=verified.folder_id,
        observed=verified.observed,
        counts={verdict: counts[verdict] for verdict in VERDICTS},
        items=[_item(one) for one in about if only is not None or one.verdict != "in_sync"],
    )


def _item(one: Compared) -> ComparedAnswer:
    ticket_id = one.shown.ticket.get("ticket_id") if one.shown and one.shown.ticket else None
    return ComparedAnswer(
        recording_id=one.recording_id,
        filename=one.filename,
        verdict=one.verdict,
        link_version=one.link_version,
        shown_link_version=one.shown.link_version if one.shown else None,
        shown_ticket_id=str(ticket_id) if ticket_id is not None else None,
    )
