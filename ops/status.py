"""`ticketsync status`: how many recordings are in which state, what keeps the rest, or one recording in full.

With --wait settled it first waits until everything asked for so far is done (exit 0) or needs a person (exit 1). With
--watch it looks until Ctrl-C. While a service does not answer, what the others say is shown (ops/heard.py).
"""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ops import live, show
from ops.addresses import Addresses, resolve
from ops.exits import Finding, Unreachable, WrongInput
from ops.heard import Heard
from ops.lookup import folder_id_as_heard, if_known, one_recording, unknown_recording
from ops.options import DataDir, Json
from ops.overview import Services, services
from ops.show_status import BLOCKED_SHOWN, Seen, in_one_line, picture

if TYPE_CHECKING:
    from ops.settled import Verdict

WAIT_S = 60.0
# Of one recording: what is shown as a table, or only as JSON.
IN_THEIR_OWN_WAY = {"transfer", "cloud_updater", "unreachable", "facts", "history", "next_before_version"}


def status(
    recording: Annotated[
        str | None,
        typer.Argument(metavar="RECORDING", help="A recording_id; with --folder, a filename.", show_default=False),
    ] = None,
    *,
    folder: Annotated[
        str | None, typer.Option("--folder", help="Only this folder (id, or a unique name).", show_default=False)
    ] = None,
    wait: Annotated[
        Literal["settled"] | None, typer.Option("--wait", help="Wait until nothing moves any more.", show_default=False)
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option("--timeout", min=0.1, help="Seconds that --wait lasts at most; default: 60.", show_default=False),
    ] = None,
    watch: live.Watch = False,
    every: live.Every = None,
    json: Json = False,
    data_dir: DataDir = None,
) -> None:
    """Show the state of all recordings, of a folder, or of one recording."""
    if (recording is not None) + (wait is not None) + watch > 1:
        raise WrongInput("--wait and --watch look at all recordings or at a --folder, and one of them at a time")
    if timeout is not None and wait is None:
        raise WrongInput("--timeout is how long --wait lasts at most; say --wait settled as well")
    live.check(watch=watch, every=every)
    timeout_s = timeout or WAIT_S
    addresses = resolve(data_dir)
    if recording is not None:
        about, heard = asyncio.run(_recording(addresses, recording, folder))
        _show_recording(about, json=json)
        heard.require_all()
        return
    if watch:
        asyncio.run(_watch(addresses, folder, every=every, json_lines=json))
    seen, verdict = asyncio.run(_once(addresses, folder, timeout_s if wait else None))
    _show(seen, {"settled": verdict == "settled"} if wait else {}, json=json)
    seen.heard.require_all()
    match verdict:
        case Unreachable():
            raise verdict
        case "stuck":
            raise Finding(
                "all that is left needs a person", todo="See which and why: ticketsync status, without --json"
            )
        case "working":
            raise Finding(f"not settled within {timeout_s:g} s")


def _show(seen: Seen, settled: Mapping[str, bool], *, json: bool) -> None:
    if json:
        show.as_json({**seen.as_json(), **settled})
    else:
        for part in picture(seen):
            show.out().print(part)
    for why in seen.stopped_topics:
        show.note(f"{why}.")
    for stopped in seen.overview.stopped_lanes:
        show.note(stopped)


async def _once(
    addresses: Addresses, folder: str | None, timeout_s: float | None
) -> "tuple[Seen, Verdict | Unreachable | None]":
    """What there is, and with a time limit whether it is settled, or who was still silent when the time was over."""
    async with services(addresses) as asked:
        if timeout_s is None:
            return await _look(asked, folder), None
        # On demand: where the topics end is asked of Kafka, and whoever does not wait needs no client of it.
        from ops.settled import wait_and_tell  # noqa: PLC0415

        try:
            verdict, judged = await wait_and_tell(addresses, asked, folder, timeout_s)
        except Unreachable as silent:
            return await _look(asked, folder), silent
        seen = await _look(asked, folder)
        # What was judged is what is shown.
        overview = judged or seen.overview
        return replace(seen, overview=replace(overview, per_minute=seen.overview.per_minute)), verdict


async def _watch(addresses: Addresses, folder: str | None, *, every: float | None, json_lines: bool) -> None:
    async with services(addresses) as asked:
        watched = live.Watched(lambda: _look(asked, folder), Seen.as_json, picture, in_one_line)
        await live.watch(watched, every=every, json_lines=json_lines)


async def _look(asked: Services, folder: str | None) -> Seen:
    heard = Heard()
    folder_id = await folder_id_as_heard(asked, heard, folder)
    overview, per_minute, blocked, stopped = await asyncio.gather(
        asked.overview(heard, folder_id),
        asked.per_minute(),
        asked.blocked(heard, folder_id, limit=BLOCKED_SHOWN),
        asked.stopped_topics(heard),
    )
    heard.require_somebody()
    return Seen(replace(overview, per_minute=per_minute), blocked, stopped, heard, datetime.now(UTC))


async def _recording(addresses: Addresses, recording: str, folder: str | None) -> tuple[dict[str, Any], Heard]:
    heard = Heard()
    async with services(addresses) as asked:
        recording_id = (
            (await one_recording(asked.linker, recording, folder)).recording_id if folder is not None else recording
        )
        linker, transfer, cloud_updater = await asyncio.gather(
            *(heard.said(one, if_known(one, recording_id)) for one in asked.by_name().values())
        )
    if linker is None and "linker" not in heard.unreachable:
        raise unknown_recording("linker", recording_id)
    if not (linker or transfer or cloud_updater):
        heard.require_all()
    blocked = [about["blocked"] for about in (transfer, cloud_updater) if about and about.get("blocked")]
    about = {
        **(linker or {"recording_id": recording_id, "state": None}),
        "blocked": blocked[0] if blocked else None,
        "transfer": transfer,
        "cloud_updater": cloud_updater,
        "unreachable": heard.unreachable,
    }
    return about, heard


def _show_recording(about: dict[str, Any], *, json: bool) -> None:
    if json:
        show.as_json(about)
        return
    shown = {name: value for name, value in about.items() if name not in IN_THEIR_OWN_WAY}
    unknown = {"state"} if about["state"] is None else set()
    if about["unreachable"] and about["blocked"] is None:
        unknown.add("blocked")
    show.pairs(shown | dict.fromkeys(unknown, show.UNKNOWN))
    if about.get("history"):
        show.table(
            ("version", "ticket", "linked at", "by", "through"),
            [
                (one["link_version"], (one["ticket_info"] or {}).get("ticket_id"), one["linked_at"], one["linked_by"],
                 " ".join(filter(None, (one["source"], one["import_id"]))))
                for one in about["history"]
            ],
        )  # fmt: skip
