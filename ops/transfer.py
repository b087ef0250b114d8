"""`ticketsync transfer`: what keeps recordings from the cloud until a person decides, and the decisions.

Three things wait: recordings that were rejected, folders with an upload of unknown outcome, and folders that the cloud
has lost. Each decision is for what was listed for it: transfer refuses one about something that has changed meanwhile.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Coroutine, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Annotated, Any

import typer

from ops import show
from ops.addresses import Addresses, resolve
from ops.confirm import confirm
from ops.exits import Finding, WrongInput
from ops.heard import Heard
from ops.held import FolderCase, Held, RejectedCase, held
from ops.held_decisions import Decided, Decisions, exists_as, give_up, retry
from ops.json_stream import JsonStream
from ops.options import By, DataDir, Json, Yes
from ops.who import asks

LIST_MAX = 1_000
# All of it may be nothing; of what is named something waits, or it is named wrongly.
NOTHING = "nothing of it waits for a person"
NO_FOLDER = "no folder waits there; what was rejected is out of the way already"
NO_UPLOAD = "no upload of unknown outcome waits there"
TICKETS = "Which and why: ticketsync recordings --blocked rejected; tried again: ticketsync resync"

commands = typer.Typer(
    help="What waits for a person before it is in the cloud: list, retry, exists-as, give-up.", no_args_is_help=True
)


class Reason(StrEnum):
    """Why something waits for a person."""

    REJECTED = "rejected"
    OUTCOME_UNKNOWN = "outcome_unknown"
    MISSING_IN_CLOUD = "missing_in_cloud"


InFolder = Annotated[
    str | None, typer.Option("--folder", help="Only this folder, by id or by a unique name.", show_default=False)
]
OfRecording = Annotated[
    list[str] | None,
    typer.Option("--recording", help="Only this recording_id, or its folder; may be repeated.", show_default=False),
]
For = Annotated[Reason | None, typer.Option("--reason", help="Only what waits for this reason.", show_default=False)]
Everything = Annotated[bool, typer.Option("--all", help="Everything that waits.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what it is about, and change nothing.")]


@commands.command("list", epilog="Example: ticketsync transfer list --reason outcome_unknown")
def list_held(
    *,
    folder: InFolder = None,
    recording: OfRecording = None,
    reason: For = None,
    json: Json = False,
    data_dir: DataDir = None,
) -> None:
    """List what waits for a person, with what the cloud said; refused tickets of what is there are counted."""
    heard = Heard()
    found = asyncio.run(held(resolve(data_dir), heard, folder, recording or [], reason and reason.value))
    if json:
        _write(found, JsonStream()).end({"refused_tickets": found.refused_tickets, "unreachable": heard.unreachable})
    else:
        _show_held(found, silent=heard.unreachable)
    heard.require_all()


@commands.command("retry", epilog="Example: ticketsync transfer retry --folder 2025-01-29 --reason rejected")
def retry_held(  # noqa: PLR0913 - an option per condition
    *,
    folder: InFolder = None,
    recording: OfRecording = None,
    everything: Everything = False,
    reason: For = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    by: By = None,
    json: Json = False,
    data_dir: DataDir = None,
) -> None:
    """Upload again: what was rejected, what may have arrived (it is there twice if it had), what the cloud has lost.

    Name one of --folder, --recording and --all.
    """
    addresses = resolve(data_dir)
    found = _selected(addresses, folder, recording, reason, everything=everything)
    again = Decision("Upload again", None if everything else NOTHING, partial(retry, addresses, by=asks(by)))
    _decide(found, again, dry_run=dry_run, yes=yes, json=json)


@commands.command("exists-as", epilog="Example: ticketsync transfer exists-as --folder 2025-01-29 -- Zm9sZGVyLTE=")
def say_exists_as(  # noqa: PLR0913 - an option per condition
    clouds_uuid: Annotated[
        str | None,
        typer.Argument(
            metavar="CLOUDS_UUID",
            help="The folder that the cloud has made, behind -- if it begins with a dash; not needed for files added.",
        ),
    ] = None,
    *,
    folder: InFolder = None,
    recording: OfRecording = None,
    everything: Everything = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    by: By = None,
    json: Json = False,
    data_dir: DataDir = None,
) -> None:
    """Say that an upload of unknown outcome has had its effect.

    Look into the cloud first. Name one of --folder, --recording and --all.
    """
    addresses = resolve(data_dir)
    found = _selected(addresses, folder, recording, Reason.OUTCOME_UNKNOWN, everything=everything)
    if clouds_uuid is not None and len(found.folders) > 1:
        raise WrongInput(f"one uuid cannot be {len(found.folders)} folders: name one folder")
    said = partial(exists_as, addresses, clouds_uuid=clouds_uuid, by=asks(by))
    _decide(found, Decision("Count as uploaded", NO_UPLOAD, said), dry_run=dry_run, yes=yes, json=json)


@commands.command("give-up", epilog="Example: ticketsync transfer give-up --folder 2025-01-29 --dry-run")
def give_up_held(  # noqa: PLR0913 - an option per condition
    *,
    folder: InFolder = None,
    recording: OfRecording = None,
    everything: Everything = False,
    reason: For = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    by: By = None,
    json: Json = False,
    data_dir: DataDir = None,
) -> None:
    """Do not upload what waits in these folders; its recordings are rejected as given up, and the folders go on.

    Name one of --folder, --recording and --all.
    """
    addresses = resolve(data_dir)
    if reason is Reason.REJECTED:
        raise WrongInput("what was rejected is out of the way already; nothing waits for it")
    found = Held(_selected(addresses, folder, recording, reason, everything=everything).folders, [])
    given_up = Decision("Give up", None if everything else NO_FOLDER, partial(give_up, addresses, by=asks(by)))
    _decide(found, given_up, dry_run=dry_run, yes=yes, json=json)


def _selected(
    addresses: Addresses,
    folder: str | None,
    recording: list[str] | None,
    reason: Reason | None,
    *,
    everything: bool,
) -> Held:
    if (folder is not None) + bool(recording) + everything != 1:
        raise WrongInput("name exactly one of --folder, --recording and --all")
    heard = Heard()
    found = asyncio.run(held(addresses, heard, folder, recording or [], reason and reason.value))
    heard.require_all(meanwhile="Nothing was done.")
    return found


@dataclass(frozen=True)
class Decision:
    """What is asked of an operator, and then done. `nothing`: that nothing waits is a finding, and this is told."""

    question: str
    nothing: str | None
    carry_out: Callable[[Held], Coroutine[Any, Any, Decisions]]


def _decide(found: Held, decision: Decision, *, dry_run: bool, yes: bool, json: bool) -> None:
    """Show what it is about, ask, have it done, and show what became of it. With --json that is one object."""
    waits = bool(found.folders or found.rejected)
    if not json:
        _show_held(found)
    done = Decisions()
    if waits and not dry_run:
        about = f"{len(found.folders):,} folders and {len(found.rejected):,} rejected recordings"
        confirm(f"{decision.question}: {about}?", yes=yes, json=json)
        done = asyncio.run(decision.carry_out(found))
    if json:
        stream = _write(found, JsonStream())
        stream.add("items", (one._asdict() for one in done.items))
        rest = {"dry_run": dry_run, "refused_tickets": found.refused_tickets, "ended_early": done.ended_early}
        stream.end(rest)
    elif done.items:
        _show_done(done.items)
    if dry_run:
        show.note("A dry run: nothing was changed.")
    if decision.nothing and not waits:
        raise Finding(decision.nothing, todo="See what waits: ticketsync transfer list")
    done.require_end()
    number = len(done.items)
    if left := sum(one.outcome == "refused" for one in done.items):
        raise Finding(f"refused: {left:,} of {number:,}" + ("; the others are done" if left < number else ""))


def _write(found: Held, stream: JsonStream) -> JsonStream:
    stream.add("folders", (one._asdict() for one in found.folders))
    stream.add("recordings", (one._asdict() for one in found.rejected))
    return stream


def _show_held(found: Held, *, silent: Collection[str] = ()) -> None:
    cases: Sequence[FolderCase | RejectedCase] = [*found.folders, *found.rejected]
    show.table(
        ("reason", "folder", "recording or clouds_uuid", "why"),
        [(one.reason, one.folder_id, one.named, one.message) for one in cases[:LIST_MAX]],
        silent=silent,
    )
    if len(cases) > LIST_MAX:
        show.note(f"{len(cases):,} in all; --json has every one.")
    if found.refused_tickets:
        number = f"{found.refused_tickets:,}"
        show.note(f"Not listed here: recordings in the cloud whose ticket it refuses: {number}. {TICKETS}")


def _show_done(done: Sequence[Decided]) -> None:
    show.pairs(Counter(one.outcome for one in done))
    refused = [one for one in done if one.message]
    if refused:
        shown = [(one.folder_id, one.recording_id, one.message) for one in refused[:LIST_MAX]]
        show.table(("folder", "recording", "why"), shown)
        if len(refused) > LIST_MAX:
            show.note(f"{len(refused):,} refused in all; --json has every one.")
