"""`ticketsync explain`: what happened to a recording, in order, why it is or is not in sync, and what mends it.

In: a recording_id, a ticket or a filename. Out: its story (ops/explanation.py), put together from what the services
say; several that fit are listed, and that is a finding. A link whose recording never came is explained as well, and so
is a recording of which nothing could be applied. While a service does not answer, what the others know is told
(ops/heard.py); without linker only a recording_id is found.
"""

import asyncio
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Annotated, Any

import typer

from ops import show
from ops.addresses import Addresses, resolve
from ops.answers import Anything, Page
from ops.exits import Finding, WrongInput
from ops.explanation import DEAD_TOLD, DOCTOR, About, Happened, Why, dead_letters, story, story_without_linker, why
from ops.explanation_unseen import parked_story, why_unseen
from ops.heard import Heard
from ops.held import MISSING
from ops.lookup import folder_id_as_heard, if_known, unknown_recording
from ops.options import DataDir, Json
from ops.overview import Services, services
from ops.pages import first, whole
from shared.path_segment import path_segment

CANDIDATES_MAX = 50
PARKED_MAX = 50
MORE_PARKED = f"More than {PARKED_MAX} links wait for it; all that wait: ticketsync parked list"
DEAD_MAX = 10_000
HEARD_OF_NOTHING = "Has it been read yet? ticketsync lag; or could it not be applied? ticketsync dlq list"
LINKER_SILENT = Why("Whether it is in sync, linker knows, which does not answer.", DOCTOR)


@dataclass(frozen=True)
class Found:
    """A recording as linker knows it, if it does, and its story; `more`: that there is more of it than is told."""

    recording: Mapping[str, Any] | None
    events: Sequence[Happened]
    reason: Why
    more: str | None = None


def explain(
    name: Annotated[
        str,
        typer.Argument(
            metavar="RECORDING|TICKET|FILENAME",
            help="A recording_id, a ticket's id, or a filename.",
            show_default=False,
        ),
    ],
    *,
    folder: Annotated[
        str | None, typer.Option("--folder", help="Only in this folder (id, or a unique name).", show_default=False)
    ] = None,
    json: Json = False,
    data_dir: DataDir = None,
) -> None:
    """Tell what happened to a recording, and why it is or is not in sync."""
    if not name:
        raise WrongInput("the name of a recording is empty")
    heard = Heard()
    found = asyncio.run(_explain(resolve(data_dir), heard, name, folder, json=json))
    if json:
        show.as_json(
            {
                "recording": found.recording,
                "events": [asdict(one) for one in found.events],
                "why": found.reason.line,
                "mend": found.reason.command,
                "more": found.more is not None,
                "unreachable": heard.unreachable,
            }
        )
    else:
        _tell(found)
    heard.require_all()


def _tell(found: Found) -> None:
    if found.recording:
        names = ("recording_id", "folder_id", "filename", "state", "clouds_uuid")
        show.pairs({name: found.recording[name] for name in names})
    events = [(_at(one.at), one.what, one.where) for one in found.events]
    show.table(("when", "what", "topic partition:offset"), events)
    if found.more:
        show.note(found.more)
    show.out().print(show.plain(found.reason.line), soft_wrap=True, highlight=False)
    if found.reason.command:
        show.out().print(show.plain(f"Do: {found.reason.command}"), soft_wrap=True, highlight=False)


async def _explain(addresses: Addresses, heard: Heard, name: str, folder: str | None, *, json: bool) -> Found:
    async with services(addresses) as asked:
        try:
            folder_id = await folder_id_as_heard(asked, heard, folder)
        except Finding:
            # Links may wait for a folder of which nothing has arrived yet.
            if unseen := await _unseen(asked, heard, name, folder):
                return unseen
            raise
        said = await heard.said(asked.linker, _candidates(asked, name, folder_id))
        if said is None:
            return await _without_linker(asked, heard, name, folder_id)
        candidates, kind = said
        if len(candidates) > 1:
            raise _several(candidates, name, kind, json=json)
        if not candidates:
            if unseen := await _unseen(asked, heard, name, folder):
                return unseen
            raise _unknown(name, folder)
        about = await _about(asked, heard, candidates[0]["recording_id"])
    recording = {name: value for name, value in about.linker.items() if name not in {"facts", "history"}}
    return Found(recording, story(about), why(about), more=_more_dead(about.dead, about.recording_id))


async def _without_linker(asked: Services, heard: Heard, recording_id: str, folder_id: str | None) -> Found:
    """What the others say, if the name is a recording_id. Raises Unreachable if they know nothing of it, or there."""
    (transfer, cloud_updater, folder), dead = await asyncio.gather(
        _of_the_others(asked, heard, recording_id), _dead(asked, heard, recording_id)
    )
    known = transfer or cloud_updater
    if folder_id not in {None, known["folder_id"]} if known else not dead:
        heard.require_all()
    events = [*story_without_linker(transfer, cloud_updater, folder), *dead_letters(dead)]
    return Found(None, events, LINKER_SILENT, more=_more_dead(dead, recording_id))


async def _candidates(asked: Services, name: str, folder_id: str | None) -> tuple[list[dict[str, Any]], str]:
    """The recording of that id; else those of that filename or ticket, one more than are shown; and what fits most."""
    by_id = await if_known(asked.linker, name)
    if by_id and folder_id in {None, by_id["folder_id"]}:
        return [by_id], "recording_id"
    filenames, tickets = await asyncio.gather(
        *(_all(asked, {kind: name, "folder": folder_id}) for kind in ("filename", "ticket"))
    )
    found = {one["recording_id"]: one for one in (*filenames, *tickets)}
    return list(found.values()), "filename" if len(filenames) >= len(tickets) else "ticket"


async def _all(asked: Services, params: Mapping[str, str | None]) -> list[dict[str, Any]]:
    return await whole(asked.linker, "/recordings", Page, params, limit=CANDIDATES_MAX + 1)


async def _unseen(asked: Services, heard: Heard, name: str, folder: str | None) -> Found | None:
    """What there is of a recording that linker does not know; None: nothing. Raises Unreachable if nobody can tell."""
    links, more = await _waits(asked, name, folder)
    dead = await _dead(asked, heard, name)
    if not links and not dead:
        heard.require_all()
        return None
    events = sorted([*parked_story(links), *dead_letters(dead)], key=lambda one: one.at or "")
    return Found(None, events, why_unseen(dead), more=MORE_PARKED if more else _more_dead(dead, name))


async def _waits(asked: Services, name: str, folder: str | None) -> tuple[list[dict[str, Any]], bool]:
    """The links that wait for it, in any folder or in this one, known or not, and whether more do."""
    kinds = ("recording_id", "filename", "ticket")
    lists = await asyncio.gather(
        *(
            first(asked.linker, "/parked-links", Page, {kind: name, "folder": folder}, limit=PARKED_MAX)
            for kind in kinds
        )
    )
    links = {one["parked_id"]: one for of_kind, _ in lists for one in of_kind}
    return [*links.values()][:PARKED_MAX], len(links) > PARKED_MAX or any(more for _, more in lists)


def _unknown(name: str, folder: str | None) -> Finding:
    if folder is None:
        return Finding(f"no recording, filename or ticket {name} is known", todo=HEARD_OF_NOTHING)
    elsewhere = f"In any folder: ticketsync explain -- {shlex.quote(name)}"
    return Finding(f"no recording, filename or ticket {name} is known in folder {folder}", todo=elsewhere)


async def _about(asked: Services, heard: Heard, recording_id: str) -> About:
    linker, (transfer, cloud_updater, folder), dead = await asyncio.gather(
        if_known(asked.linker, recording_id),
        _of_the_others(asked, heard, recording_id),
        _dead(asked, heard, recording_id),
    )
    if linker is None:
        raise unknown_recording("linker", recording_id)
    return About(linker, transfer, cloud_updater, folder, silent=heard.unreachable, dead=dead)


async def _dead(asked: Services, heard: Heard, recording_id: str) -> list[tuple[str, dict[str, Any]]]:
    """What could not be applied of it, by service, in the order of their places."""
    every = (asked.linker, asked.transfer, asked.cloud_updater)
    params = {"key": recording_id}
    lists = await asyncio.gather(
        *(heard.said(one, whole(one, "/dead-letters", Page, params, limit=DEAD_MAX)) for one in every)
    )
    return [(of.service, one) for of, found in zip(every, lists, strict=True) for one in found or ()]


def _more_dead(dead: Sequence[object], key: str) -> str | None:
    if len(dead) <= DEAD_TOLD:
        return None
    every = f"ticketsync dlq list --key {shlex.quote(key)}"
    return f"These are the newest {DEAD_TOLD} that could not be applied; all of them: {every}"


async def _of_the_others(
    asked: Services, heard: Heard, recording_id: str
) -> tuple[dict[str, Any] | None, dict[str, Any] | None, dict[str, Any] | None]:
    """What transfer and cloud_updater say of it, and transfer of its folder while that is uploaded or lost."""
    transfer, cloud_updater = await asyncio.gather(
        *(heard.said(one, if_known(one, recording_id)) for one in (asked.transfer, asked.cloud_updater))
    )
    folder = None
    lost = any(((one or {}).get("blocked") or {}).get("reason") == MISSING for one in (transfer, cloud_updater))
    if transfer and (lost or transfer["phase"] == "uploading"):
        path = f"/folders/{path_segment(transfer['folder_id'])}"
        folder = await heard.said(asked.transfer, asked.transfer.get(path, Anything))
    return transfer, cloud_updater, folder.root if folder else None


def _several(found: Sequence[Mapping[str, Any]], name: str, kind: str, *, json: bool) -> Finding:
    """That several fit, of which the first are shown."""
    more, shown = len(found) > CANDIDATES_MAX, found[:CANDIDATES_MAX]
    if json:
        show.as_json({"candidates": shown, "more": more})
    else:
        columns = ("recording_id", "folder_id", "filename", "state")
        show.table(columns, [[one[column] for column in columns] for one in shown])
    if more:
        every = f"ticketsync recordings --{kind} {shlex.quote(name)}"
        return Finding(f"more than {CANDIDATES_MAX} recordings fit {name}", todo=f"All of them: {every}")
    return Finding(f"{len(found)} recordings fit {name}", todo="Name one by its recording_id.")


def _at(moment: str | None) -> str:
    return "now" if moment is None else show.moment(datetime.fromisoformat(moment))
