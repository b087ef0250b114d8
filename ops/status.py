"""`ticketsync status`: how many recordings are in which state, what keeps the rest, or one recording in full.

With --wait settled it first waits until everything asked for so far is done (exit 0) or needs a person (exit 1). With
--watch it looks until Ctrl-C.
"""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ops import live, show
from ops.addresses import Addresses, resolve
from ops.answers import Anything
from ops.exits import Finding, WrongInput
from ops.lookup import about_recording, folder_id_of, if_known, one_recording
from ops.options import DataDir, Json
from ops.overview import Services, services
from ops.show_status import BLOCKED_SHOWN, Seen, in_one_line, picture

if TYPE_CHECKING:
    from ops.settled import Verdict

# Of one recording: what is shown as a table, or only as JSON.
IN_THEIR_OWN_WAY = {"transfer", "cloud_updater", "facts", "history", "next_before_version"}


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
    watch: live.Watch = False,
    every: live.Every = 2.0,
    json: Json = False,
    data_dir: DataDir = None,
) -> None:
    """Show the state of all recordings, of a folder, or of one recording."""
    if (recording is not None) + (wait is not None) + watch > 1:
        raise WrongInput("--wait and --watch look at all recordings or at a --folder, and one of them at a time")
    addresses = resolve(data_dir)
    if recording is not None:
        _show_recording(asyncio.run(_recording(addresses, recording, folder)), json=json)
        return
    if watch:
        asyncio.run(_watch(addresses, folder, every_s=every, json_lines=json))
    seen, verdict = asyncio.run(_once(addresses, folder, timeout if wait else None))
    if json:
        settled = {"settled": verdict == "settled"} if wait else {}
        show.as_json(seen.as_json() | settled)
    else:
        for part in picture(seen):
            show.out().print(part)
    for why in seen.stopped_topics:
        show.note(f"{why}.")
    for stopped in seen.overview.stopped_lanes:
        show.note(stopped)
    match verdict:
        case "stuck":
            raise Finding(
                "all that is left needs a person", todo="See which and why: ticketsync status, without --json"
            )
        case "working":
            raise Finding(f"not settled within {timeout:g} s")


async def _once(addresses: Addresses, folder: str | None, timeout_s: float | None) -> "tuple[Seen, Verdict | None]":
    """What there is, and with a time limit whether it is settled."""
    async with services(addresses) as asked:
        if timeout_s is None:
            return await _look(asked, await folder_id_of(asked.linker, folder)), None
        # On demand: where the topics end is asked of Kafka, and whoever does not wait needs no client of it.
        from ops.settled import wait_and_tell  # noqa: PLC0415

        verdict, judged = await wait_and_tell(addresses, asked, folder, timeout_s)
        seen = await _look(asked, await folder_id_of(asked.linker, folder))
        # What was judged is what is shown.
        overview = judged or seen.overview
        return replace(seen, overview=replace(overview, per_minute=seen.overview.per_minute)), verdict


async def _watch(addresses: Addresses, folder: str | None, *, every_s: float, json_lines: bool) -> None:
    async with services(addresses) as asked:
        folder_id = await folder_id_of(asked.linker, folder)
        watched = live.Watched(lambda: _look(asked, folder_id), Seen.as_json, picture, in_one_line)
        await live.watch(watched, every_s=every_s, json_lines=json_lines)


async def _look(asked: Services, folder_id: str | None) -> Seen:
    overview, per_minute, blocked, stopped = await asyncio.gather(
        asked.overview(folder_id),
        asked.per_minute(),
        asked.blocked(folder_id, limit=BLOCKED_SHOWN),
        asked.stopped_topics(),
    )
    return Seen(replace(overview, per_minute=per_minute), blocked, stopped, datetime.now(UTC))


async def _recording(addresses: Addresses, recording: str, folder: str | None) -> dict[str, Any]:
    async with services(addresses) as asked:
        recording_id = (await one_recording(asked.linker, recording, folder)).recording_id if folder else recording
        linker = await about_recording(asked.linker, recording_id, Anything)
        transfer = await if_known(asked.transfer, recording_id)
        cloud_updater = await if_known(asked.cloud_updater, recording_id)
        blocked = [about["blocked"] for about in (transfer, cloud_updater) if about and about.get("blocked")]
    return {
        **linker.root,
        "blocked": blocked[0] if blocked else None,
        "transfer": transfer,
        "cloud_updater": cloud_updater,
    }


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
