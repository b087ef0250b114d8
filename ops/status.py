"""`ticketsync status`: how many recordings are in which state, what keeps the rest, or one recording in full.

With --wait settled it first waits until everything asked for so far is done (exit 0) or needs a person (exit 1).
"""

import asyncio
from collections.abc import Coroutine
from typing import Annotated, Any, Literal

import typer

from ops import show
from ops.addresses import Addresses, resolve
from ops.answers import Anything, BlockedRecording
from ops.exits import Finding, WrongInput
from ops.lookup import about_recording, folder_id_of, one_recording
from ops.options import DataDir, Json
from ops.overview import Overview, services
from ops.service_api import ServiceApi
from ops.settled import Verdict, Watch, wait_until_settled

WATCH_BEAT_S = 0.2
BLOCKED_SHOWN = 20
# Of one recording: what is shown as a table, or only as JSON.
IN_THEIR_OWN_WAY = {"transfer", "cloud_updater", "history", "next_before_version"}


def status(
    recording: Annotated[
        str | None,
        typer.Argument(metavar="[RECORDING]", help="A recording_id; with --folder, a filename.", show_default=False),
    ] = None,
    *,
    folder: Annotated[
        str | None, typer.Option("--folder", help="Only this folder (id, or a unique name).", show_default=False)
    ] = None,
    wait: Annotated[
        Literal["settled"] | None, typer.Option("--wait", help="Wait until nothing moves any more.", show_default=False)
    ] = None,
    timeout: Annotated[float, typer.Option("--timeout", min=0.1, help="Seconds to wait at most.")] = 60.0,
    json: Json = False,
    data_dir: DataDir = None,
) -> None:
    """Show the state of all recordings, of a folder, or of one recording."""
    addresses = resolve(data_dir)
    if recording is not None:
        if wait:
            raise WrongInput("--wait looks at all recordings or at a --folder, not at one recording")
        _show_recording(asyncio.run(_recording(addresses, recording, folder)), json=json)
        return
    overview, verdict, blocked, unread = asyncio.run(_overview(addresses, folder, timeout if wait else None))
    if json:
        settled = {"settled": verdict == "settled"} if wait else {}
        show.as_json(overview.as_json() | {"stopped_topics": unread} | settled)
    else:
        _show_overview(overview, blocked)
    for why in unread:
        show.note(f"{why}.")
    for stopped in overview.stopped_lanes:
        show.note(f"{stopped}. It goes on by itself once the cloud answers.")
    match verdict:
        case "stuck":
            raise Finding(
                "all that is left needs a person", todo="See which and why: ticketsync status, without --json"
            )
        case "working":
            raise Finding(f"not settled within {timeout:g} s")


async def _overview(
    addresses: Addresses, folder: str | None, timeout_s: float | None
) -> tuple[Overview, Verdict | None, list[BlockedRecording], list[str]]:
    """What there is, whether it is settled, the first that are blocked, and the topics that are not read on."""
    async with services(addresses) as asked:
        verdict: Verdict | None = None
        watch = Watch()
        if timeout_s is not None:
            verdict = await _watched(wait_until_settled(addresses, asked, folder, timeout_s, watch), watch)
        if verdict == "working":
            show.note(f"Last seen: {watch.doing}")
        folder_id = await folder_id_of(asked.linker, folder)
        overview = watch.overview or await asked.overview(folder_id)
        blocked = await asked.blocked(folder_id, limit=BLOCKED_SHOWN)
        return overview, verdict, blocked, await asked.stopped_topics()


async def _watched(waiting: Coroutine[Any, Any, Verdict], watch: Watch) -> Verdict:
    """The result of waiting; meanwhile stderr says what is being waited for."""
    task = asyncio.create_task(waiting)
    with show.notes().status("waiting") as line:
        while not task.done():
            await asyncio.wait([task], timeout=WATCH_BEAT_S)
            line.update(show.plain(watch.doing))
    return await task


async def _recording(addresses: Addresses, recording: str, folder: str | None) -> dict[str, Any]:
    async with services(addresses) as asked:
        recording_id = (await one_recording(asked.linker, recording, folder)).recording_id if folder else recording
        linker = await about_recording(asked.linker, recording_id, Anything)
        transfer = await _if_known(asked.transfer, recording_id)
        cloud_updater = await _if_known(asked.cloud_updater, recording_id)
        blocked = [about["blocked"] for about in (transfer, cloud_updater) if about and about.get("blocked")]
    return {
        **linker.root,
        "blocked": blocked[0] if blocked else None,
        "transfer": transfer,
        "cloud_updater": cloud_updater,
    }


async def _if_known(service: ServiceApi, recording_id: str) -> dict[str, Any] | None:
    try:
        return (await about_recording(service, recording_id, Anything)).root
    except Finding:
        return None


def _show_overview(overview: Overview, blocked: list[BlockedRecording]) -> None:
    values = overview.as_json()
    show.pairs({"recordings": values["recordings"]})
    show.table(("state", "recordings"), list(values["states"].items()))
    show.table(("blocked", "recordings"), list(values["blocked"].items()))
    if blocked:
        show.table(
            ("recording", "folder", "blocked", "why"),
            [(one.recording_id, one.folder_id, one.reason, one.message) for one in blocked],
            title=f"Blocked, the first {BLOCKED_SHOWN} at most",
        )
    show.pairs({"parked links": values["parked"], "dead letters": values["dead_letters"]})


def _show_recording(about: dict[str, Any], *, json: bool) -> None:
    if json:
        show.as_json(about)
        return
    show.pairs({name: value for name, value in about.items() if name not in IN_THEIR_OWN_WAY})
    if about.get("history"):
        show.table(
            ("version", "ticket", "linked at", "by", "through"),
            [
                (one["link_version"], (one["ticket_info"] or {}).get("ticket_id"), one["linked_at"], one["linked_by"],
                 " ".join(filter(None, (one["source"], one["import_id"]))))
                for one in about["history"]
            ],
        )  # fmt: skip
