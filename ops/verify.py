"""`ticketsync verify`: reads the cloud back, folder by folder, and says which recordings do not show what they should.

cloud_updater reads and compares, since it has the token and keeps to the cloud's limit; this command walks the folders
with a few in flight, and shows what it found also if it cannot go on. Without a finding it ends with 0. A recording
without a ticket on both sides is in order, what is not transferred is not looked for, and a folder of which nothing is
there is a finding. --repair asks cloud_updater to push the findings once more; what no push mends is told with its next
step (ops/verify_findings.py).
"""

import asyncio
import random
import shlex
from collections.abc import Sequence
from typing import Annotated, NamedTuple

import typer
from rich.progress import Progress, TaskID

from ops import show
from ops.addresses import Addresses, resolve
from ops.answers.verification import CloudFolders, CloudRecording, Verification
from ops.commands_told import argument
from ops.exits import Exit, Finding, Unreachable, WrongInput
from ops.json_stream import JsonStream
from ops.lookup import about_recording, folder_id_of
from ops.options import By, DataDir, Json
from ops.overview import Services, services
from ops.pages import pages
from ops.service_api import BehindIt, ServiceApi
from ops.verify_repair import Repair
from ops.verify_report import Report
from ops.who import asks
from shared.path_segment import path_segment

IN_FLIGHT = 6
# A folder may be long, and CLOUD_REQUESTS_PER_MINUTE short.
FOLDER_LIMIT_S = 600.0
ANEW = "The same command again looks at all of it anew."
ATTESTED = "attested, not observed: the cloud cannot be read (it has no capability `read`)"


class Folder(NamedTuple):
    """A folder in the cloud; of these there may be as many as recordings."""

    clouds_uuid: str
    folder_id: str
    recordings: int


def verify(
    *,
    everything: Annotated[bool, typer.Option("--all", help="Every folder.")] = False,
    folder: Annotated[
        str | None, typer.Option("--folder", help="One folder, by id or by a unique name.", show_default=False)
    ] = None,
    recording: Annotated[
        str | None, typer.Option("--recording", help="One recording, by its id.", show_default=False)
    ] = None,
    sample: Annotated[
        int | None,
        typer.Option("--sample", min=1, help="Folders chosen at random until so many recordings.", show_default=False),
    ] = None,
    repair: Annotated[
        bool, typer.Option("--repair", help="Push again what is found, as far as a push mends it.")
    ] = False,
    by: By = None,
    json: Json = False,
    data_dir: DataDir = None,
) -> None:
    """Compare what the cloud shows with what it should show; exit 1 if anything is found.

    Name one of --all, --folder and --recording; --sample N looks at some of all.
    """
    if (everything or sample is not None) + (folder is not None) + (recording is not None) != 1:
        raise WrongInput("name exactly one of --all, --folder F and --recording R; --sample N is some of all")
    addresses = resolve(data_dir)
    report = Report(stream=JsonStream() if json else None, repair=Repair(addresses, by=asks(by)) if repair else None)
    asyncio.run(_verify(addresses, folder, recording, sample, report))
    if report.stream:
        report.end_json(report.stream)
    elif report.folders or not report.ended_early:
        report.show()
    if not report.observed:
        show.note(ATTESTED)
    if report.repair and (pushed := report.repair.pushed):
        show.note(f"Asked to push {pushed:,} again; look once more after: ticketsync status --wait settled")
    for step in report.steps.told(repair=repair):
        show.note(step)
    report.require_end(again=ANEW)
    if report.unread:
        raise Unreachable(
            f"folders that could not be read: {len(report.unread):,}; the others were compared", todo=ANEW
        )
    raise typer.Exit(Exit.FINDING if report.found else Exit.OK)


async def _verify(
    addresses: Addresses, folder: str | None, recording: str | None, sample: int | None, report: Report
) -> None:
    async with services(addresses) as asked:
        if recording is not None:
            await _one(asked.cloud_updater, recording, report)
        else:
            folder_id = await folder_id_of(asked.linker, folder)
            folders = await _folders(asked, folder_id, sample)
            if folder_id is not None and not folders:
                raise _not_there(folder_id)
            with show.progress() as progress:
                task = progress.add_task("recordings", total=sum(one.recordings for one in folders))
                await _walk(asked.cloud_updater, folders, report, progress, task)
    if report.repair:
        with report.noted():
            await report.repair.end()


def _not_there(folder_id: str) -> Finding:
    """Counts of nothing would look as if all were in order."""
    return Finding(
        f"no recording of folder {folder_id} is in the cloud yet",
        todo=f"What keeps them: ticketsync status --folder {shlex.quote(folder_id)}",
    )


async def _folders(asked: Services, folder_id: str | None, sample: int | None) -> list[Folder]:
    """Those with recordings; with `sample`, some of them. One that the cloud lost and got anew is empty."""
    listed = pages(asked.cloud_updater, "/folders", CloudFolders, {"folder": folder_id})
    there = [
        Folder(one.clouds_uuid, one.folder_id, one.recordings)
        async for page in listed
        for one in page
        if one.recordings
    ]
    if sample is None:
        return there
    random.shuffle(there)
    taken, recordings = 0, 0
    while taken < len(there) and recordings < sample:
        recordings += there[taken].recordings
        taken += 1
    return there[:taken]


async def _walk(
    cloud_updater: ServiceApi, folders: Sequence[Folder], report: Report, progress: Progress, task: TaskID
) -> None:
    waiting = iter(folders)

    async def work() -> None:
        for one in waiting:
            with report.noted():
                try:
                    await report.add(await _read(cloud_updater, one.clouds_uuid))
                except BehindIt as stop:
                    report.unread.append((one.folder_id, stop.message))
            if report.stopped_by:
                return
            progress.advance(task, one.recordings)

    await asyncio.gather(*(work() for _ in range(IN_FLIGHT)))


async def _one(cloud_updater: ServiceApi, recording_id: str, report: Report) -> None:
    """Raises Finding if it is unknown, or nowhere in the cloud."""
    about = await about_recording(cloud_updater, recording_id, CloudRecording)
    if about.clouds_uuid is None:
        raise Finding(
            f"{recording_id} is not in the cloud yet", todo=f"Why: ticketsync explain {argument(recording_id)}"
        )
    answer = await _read(cloud_updater, about.clouds_uuid, recording_id)
    with report.noted():
        await report.add(answer)


async def _read(cloud_updater: ServiceApi, clouds_uuid: str, recording_id: str | None = None) -> Verification:
    path = f"/folders/{path_segment(clouds_uuid)}/verification"
    params = {"recording": recording_id}
    return await cloud_updater.call("GET", path, Verification, params, time_limit_s=FOLDER_LIMIT_S)
