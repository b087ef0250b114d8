"""linker's HTTP API for whoever looks: recordings by any condition, one with its history, folders and statistics."""

import json
from collections.abc import Sequence
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from schemas.fields import INT32_MAX, Instant, Name
from services.linker import seen, seen_recordings
from services.linker.api import NOT_FOUND, UNCLEAR, Page, Text, one_folder
from services.linker.api_facts import FactsAnswer
from services.linker.api_models import (
    FolderAnswer,
    FoldersAnswer,
    FoldersStatisticsAnswer,
    FolderStatisticsAnswer,
    LinkVersionAnswer,
    RecordingAnswer,
    RecordingIdsAnswer,
    RecordingsAnswer,
    RecordingWithHistory,
    StatisticsAnswer,
    with_ticket,
)
from services.linker.store_candidates import Candidates
from shared.cursors import Cursor, cursor_of, place_of
from shared.service import Service
from shared.web import PROBLEMS, Problem

IDS_MAX = 20_000
State = Literal["not_transferred", "pending", "in_sync", "waiting_for_ticket", "no_ticket_needed"]


class RecordingConditions(BaseModel):
    """Conditions on a list of recordings; all that are given have to be met."""

    model_config = ConfigDict(populate_by_name=True)

    folder: Name | None = Field(None, description="folder_id, else a folder_name that only one folder has")
    filename: Name | None = Field(None, description="the whole filename, in upper and lower case")
    state: State | None = None
    ticket: Name | None = Field(None, description="the whole ticket_id")
    customer: Name | None = Field(None, description="the whole customer_name; upper or lower case does not matter")
    called_from: Instant | None = Field(
        None, alias="from", description="calls from this time on, by recorded_at, else processed_at; ordered by it"
    )
    called_before: Instant | None = Field(None, alias="to", description="calls before this time; ordered by it")
    requires_ticket: bool | None = None
    search: Name | None = Field(
        None, description="a part of filename, ticket_id or customer_name; upper or lower case does not matter"
    )
    limit: int = Field(100, ge=1, le=1000)
    cursor: Cursor = ""


class SelectionConditions(RecordingConditions):
    """The same; of a page that only names recordings, more fit in."""

    limit: int = Field(IDS_MAX, ge=1, le=IDS_MAX)


def routes(service: Service) -> APIRouter:
    """The routes that only look."""
    router = APIRouter(tags=["recordings"], responses=PROBLEMS)

    @router.get("/recordings", responses=NOT_FOUND | UNCLEAR)
    async def list_recordings(conditions: Annotated[RecordingConditions, Query()]) -> RecordingsAnswer:
        """Recordings that meet the conditions, a page at a time."""
        async with service.database.transaction() as connection:
            folder_id = await one_folder(connection, conditions.folder)
            wanted = seen_recordings.Wanted(**conditions.model_dump(exclude={"folder"}), folder_id=folder_id)
            rows, next_cursor = await seen_recordings.recordings(connection, wanted)
        return RecordingsAnswer(items=[RecordingAnswer(**with_ticket(row)) for row in rows], next_cursor=next_cursor)

    @router.get("/recording-ids", response_model=RecordingIdsAnswer, responses=NOT_FOUND | UNCLEAR)
    async def select_recordings(conditions: Annotated[SelectionConditions, Query()]) -> Response:
        """Which recordings meet the conditions, and in which folders; for whoever wants to do something with them."""
        async with service.database.transaction() as connection:
            folder_id = await one_folder(connection, conditions.folder)
            wanted = seen_recordings.Wanted(**conditions.model_dump(exclude={"folder"}), folder_id=folder_id)
            items, next_cursor = await seen_recordings.ids(connection, wanted)
        return Response(f'{{"items":{items},"next_cursor":{json.dumps(next_cursor)}}}', media_type="application/json")

    @router.get("/recordings/{recording_id:anything}", responses=NOT_FOUND)
    async def read_recording(
        recording_id: str,
        versions: Annotated[int, Query(ge=0, le=1000, description="how many versions of its history")] = 100,
        before_version: Annotated[int, Query(ge=1, le=INT32_MAX, description="`next_before_version`")] = INT32_MAX,
    ) -> RecordingWithHistory:
        """One recording, its state, its newest link, what was heard of it, and who linked what before."""
        async with service.database.transaction() as connection:
            row = await seen_recordings.recording(connection, recording_id)
            if row is None:
                raise Problem(404, "Unknown recording", "No RecordingProcessed or RecordingTransferred of it was read")
            facts = await seen_recordings.facts(connection, recording_id)
            past = await seen_recordings.history(
                connection, recording_id, before_version=before_version, limit=versions
            )
        return RecordingWithHistory(
            **with_ticket(row),
            facts=FactsAnswer.of(facts),
            history=[LinkVersionAnswer(**with_ticket(version)) for version in past],
            next_before_version=past[-1]["link_version"] if 0 < len(past) == versions else None,
        )

    @router.get("/statistics", responses=NOT_FOUND | UNCLEAR)
    async def read_statistics(folder: Annotated[Name | None, Query()] = None) -> StatisticsAnswer:
        """How many recordings have their ticket and how many miss one, in all or in one folder."""
        async with service.database.transaction() as connection:
            folder_id = await one_folder(connection, folder)
            rows = await seen.statistics(connection, None if folder_id is None else [folder_id])
        # A folder may be known only by what an acknowledgement said of it.
        row = rows[0] if rows else {"recordings": 0, "linked": 0, "needs_linking": 0}
        return StatisticsAnswer.of({name: value for name, value in row.items() if name != "folder_id"})

    @router.get("/folders")
    async def list_folders(
        folder: Text | None = None, limit: Page = 100, cursor: Annotated[Cursor, Query()] = ""
    ) -> FoldersAnswer:
        """The folders that are meant by an id or a name, or all, a page at a time; empty if there is none."""
        after = _after_folder(cursor)
        async with service.database.transaction() as connection:
            if folder is None:
                ids = await seen.folder_ids(connection, after=after, limit=limit)
            else:
                meant = (await Candidates(connection).folders([folder]))[folder]
                ids = sorted(one for one in meant if one > after)[:limit]
            rows = await seen.folders(connection, ids)
        return FoldersAnswer(items=[FolderAnswer(**row) for row in rows], next_cursor=_folders_go_on(ids, limit))

    @router.get("/statistics/folders")
    async def list_statistics(limit: Page = 100, cursor: Annotated[Cursor, Query()] = "") -> FoldersStatisticsAnswer:
        """The same per folder, a page at a time."""
        after = _after_folder(cursor)
        async with service.database.transaction() as connection:
            ids = await seen.folder_ids(connection, after=after, limit=limit)
            rows = await seen.statistics(connection, ids)
        return FoldersStatisticsAnswer(
            items=[FolderStatisticsAnswer.of(row) for row in rows],
            next_cursor=_folders_go_on(ids, limit),
        )

    return router


def _after_folder(cursor: str) -> str:
    """The folder_id after which a page of folders begins. Raises UnknownCursor."""
    place = place_of(cursor, "folder", parts=1)
    return place[0] if place else ""


def _folders_go_on(ids: Sequence[str], limit: int) -> str | None:
    """The cursor of the page after the one with these folders, None if it was the last."""
    return cursor_of("folder", [ids[-1]]) if len(ids) == limit else None
