"""`ticketsync demo`: the main job in less than a minute, on real parts, with figures at the end.

A stack is started in a folder of its own. 1,000 recordings arrive while their tickets come in before, during and after
the uploads, from spreadsheets and by command. In the end the cloud itself is asked which ticket it shows for each file,
and that is compared with what was asked for. Nothing is left running, and nothing is left on disk unless a folder was
named or something went wrong.
"""

import asyncio
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Annotated

import typer
from rich.progress import Progress, TaskID

from ops import show
from ops.answers.status import LinkerStatus
from ops.demo_data import FOLDERS, Call, Phase, calls, spreadsheet
from ops.demo_stack import Stack, running_stack
from ops.exits import Finding, Stop, WrongInput
from ops.service_api import api

BY_COMMAND = 2  # of each phase; the others come from a spreadsheet
LAST_WORD = "TKT-LAST-WORD"
SETTLE_S = 40
BEAT_S = 0.3
TERMINATED = 128 + signal.SIGTERM


@dataclass(frozen=True)
class Figures:
    """What the demo did, counted."""

    recordings: int
    folders: int
    links: dict[str, int]
    cloud_requests: dict[str, int]
    in_sync: int
    start_s: float
    work_s: float


def demo(
    *,
    data_dir: Annotated[
        Path | None,
        typer.Option("--data-dir", file_okay=False, help="Empty or new folder to use and keep.", show_default=False),
    ] = None,
) -> None:
    """Show the whole system at work on 1,000 recordings, in less than a minute."""
    folder = data_dir or Path(tempfile.mkdtemp(prefix="ticketsync-demo-"))
    _check_empty(folder)
    keep = data_dir is not None
    try:
        figures = asyncio.run(_demo(folder))
        _show(figures, kept=data_dir)
        if missing := figures.recordings - figures.in_sync:
            raise Finding(f"{missing} recordings do not show their ticket in the cloud")
    except Stop as stop:
        keep = True
        stop.todo = f"{stop.todo} What there was is kept: {folder}".strip()
        raise
    except asyncio.CancelledError:
        raise typer.Exit(TERMINATED) from None
    finally:
        if not keep:
            shutil.rmtree(folder)


def _check_empty(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise WrongInput(f"{folder} is not empty; the demo starts from nothing")
    except OSError as error:
        raise WrongInput(f"{folder} cannot be used: {error.strerror}") from None


async def _demo(folder: Path) -> Figures:
    # SIGTERM ends the demo as Ctrl-C does: through every `finally`, so that the stack is stopped.
    main_task = asyncio.current_task()
    if main_task:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, main_task.cancel)
    show.note("Starting Kafka, PostgreSQL, three services and a cloud emulator ...")
    started_at = monotonic()
    async with running_stack(folder) as stack:
        ready_at = monotonic()
        everything = calls()
        with show.progress() as bar:
            async with _watched(stack, bar, len(everything)):
                links = await _play(stack, everything, bar)
        return Figures(
            recordings=len(everything),
            folders=FOLDERS,
            links=links,
            cloud_requests=(await stack.cloud("GET", "requests/count"))["by_route"],
            in_sync=await _shown_in_the_cloud(stack, everything),
            start_s=ready_at - started_at,
            work_s=monotonic() - ready_at,
        )


async def _play(stack: Stack, everything: Sequence[Call], bar: Progress) -> dict[str, int]:
    """The story; returns the number of links by when they were made."""
    task = bar.add_task("linked", total=len(everything))
    links = {"before the upload": await _link(stack, everything, "before", bar, task)}

    await stack.cloud("POST", "hold", {"route": "create"})
    file = stack.data_dir / "recordings.jsonl"
    file.write_text("".join(call.recording.model_dump_json() + "\n" for call in everything), encoding="utf-8")
    await stack.ticketsync("publish", "recording-processed", str(file))
    await _first_upload_is_held(stack)
    links["during the upload"] = await _link(stack, everything, "during", bar, task)
    await stack.cloud("POST", "release", {"route": "create"})

    await stack.ticketsync("status", "--wait", "settled", "--timeout", str(SETTLE_S))
    links["after the upload"] = await _link(stack, everything, "after", bar, task)
    first = everything[0].recording.recording_id
    await stack.ticketsync("link", first, "--ticket", LAST_WORD, "--customer", "The newest link wins")
    links["after the upload"] += 1
    await stack.ticketsync("status", "--wait", "settled", "--timeout", str(SETTLE_S))
    return links


async def _first_upload_is_held(stack: Stack) -> None:
    """Return when the cloud holds a request open. Raises Finding."""
    give_up_at = monotonic() + SETTLE_S
    while monotonic() < give_up_at:
        if (await stack.cloud("GET", "requests/count"))["held"]:
            return
        await asyncio.sleep(BEAT_S)
    raise Finding(f"no upload was seen within {SETTLE_S} s")


async def _link(stack: Stack, everything: Sequence[Call], phase: Phase, bar: Progress, task: TaskID) -> int:
    """Link the calls of a phase: most by one spreadsheet, some by command. Returns how many."""
    chosen = [call for call in everything if call.phase == phase]
    by_command, by_file = chosen[:BY_COMMAND], chosen[BY_COMMAND:]
    file = stack.data_dir / f"tickets-{phase}.csv"
    file.write_text(spreadsheet(by_file), encoding="utf-8")

    async def import_file() -> None:
        await stack.ticketsync("import", str(file))
        bar.advance(task, len(by_file))

    async def link(call: Call) -> None:
        await stack.ticketsync("link", call.recording.recording_id, "--ticket", call.ticket_id)
        bar.advance(task)

    await asyncio.gather(import_file(), *map(link, by_command))
    return len(chosen)


@asynccontextmanager
async def _watched(stack: Stack, bar: Progress, total: int) -> AsyncIterator[None]:
    """Meanwhile the bars follow what the linker says."""
    uploaded, in_sync = bar.add_task("uploaded", total=total), bar.add_task("in sync", total=total)

    async def look() -> None:
        async with api(stack.addresses, "linker") as linker:
            while True:
                with suppress(Stop):  # only a picture; whatever is wrong, the commands find it too
                    seen = await linker.get("/status", LinkerStatus)
                    bar.update(uploaded, completed=seen.recordings - seen.states.get("not_transferred", 0))
                    bar.update(in_sync, completed=seen.states.get("in_sync", 0))
                await asyncio.sleep(BEAT_S)

    looking = asyncio.create_task(look())
    try:
        yield
    finally:
        looking.cancel()
        await asyncio.wait([looking])


async def _shown_in_the_cloud(stack: Stack, everything: Sequence[Call]) -> int:
    """How many recordings are in the cloud exactly once, with exactly the ticket that they should have."""
    wanted = {(call.recording.folder_name, call.recording.filename): call.ticket_id for call in everything}
    wanted[everything[0].recording.folder_name, everything[0].recording.filename] = LAST_WORD
    shown: dict[tuple[str, str], list[str | None]] = {}
    for folder in (await stack.cloud("GET", "folders"))["folders"]:
        for file in folder["files"]:
            ticket = (file["ticket_info"] or {}).get("ticket_id")
            shown.setdefault((folder["folder"], file["filename"]), []).append(ticket)
    return sum(shown.get(place) == [ticket] for place, ticket in wanted.items())


def _show(figures: Figures, *, kept: Path | None) -> None:
    all_s = figures.start_s + figures.work_s
    data_dir = kept or "data"
    show.pairs(
        {
            "recordings": figures.recordings,
            "folders": figures.folders,
            "links": ", ".join(f"{count:,} {when}" for when, count in figures.links.items()),
            "cloud requests": ", ".join(f"{count:,} {route}" for route, count in figures.cloud_requests.items()),
            "duration": f"{all_s:.0f} s, of which {figures.start_s:.0f} s to start the servers",
            "next": f"ticketsync up --data-dir {data_dir}, then in another terminal "
            f"ticketsync status --data-dir {data_dir}",
            "more": "docs/tour.md follows one ticket through the system; ticketsync --help lists all commands",
        }
    )
    show.out().print(f"in sync: {figures.in_sync} of {figures.recordings}", highlight=False)
