"""`ticketsync adopt`: recordings that the cloud had before this system was there become transferred, without an upload.

In: a file of JSON lines, read as a stream. Out: transfer takes each over or says why not, and tickets that are given go
to the linker as an import that keeps whatever ticket was linked here since. One bad line is named and stops no other;
the same file again does nothing twice.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import typer
from pydantic import ValidationError

from ops import show
from ops.addresses import Addresses, resolve
from ops.adopt_rehearsal import Rehearsal
from ops.adopt_tickets import Tickets
from ops.answers.adopted import AdoptedRecording, AdoptedRecordings
from ops.confirm import confirm
from ops.exits import Finding, WrongInput
from ops.options import By, DataDir, Json, Yes
from ops.service_api import ServiceApi, api
from ops.so_far import SoFar
from ops.who import asks
from schemas.adopted import ADOPTED_MAX, Adopted, AdoptedLine
from schemas.rules import broken_rules

LINE_MAX_BYTES = 5_000_000
LOT_BYTES = 4_000_000
LOT_TIME_LIMIT_S = 120.0
SHOWN_MAX = 100


def adopt(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", exists=True, dir_okay=False, readable=True, help="JSON lines; see docs/adopt.md."
        ),
    ],
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Decide every line and change nothing.")] = False,
    yes: Yes = False,
    by: By = None,
    json: Json = False,
    data_dir: DataDir = None,
) -> None:
    """Take over recordings whose folders are in the cloud already, with the tickets that are there."""
    addresses = resolve(data_dir)
    if not dry_run:
        question = f"Count the recordings in {file.name} as uploaded, without an upload?"
        confirm(question, yes=yes, json=json)
    done = asyncio.run(_adopt(addresses, file, file.stat().st_size, dry_run=dry_run, by=asks(by)))
    _show(done, dry_run=dry_run, json=json)
    done.require_end()
    if done.findings:
        lines = {line for line, *_ in done.findings}
        raise Finding(f"{len(lines):,} of {done.lines:,} lines need a look")


@dataclass
class Done(SoFar):
    """What became of the file, as far as it was read. `findings`: line, recording_id, what (a field, or the reason of a
    conflict), message.
    """

    lines: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    tickets: Counter[str] = field(default_factory=Counter)
    findings: list[tuple[int, str | None, str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class Line:
    """A line that can be used, and how much of the file had been read after it."""

    number: int
    said: AdoptedLine
    size_bytes: int


async def _adopt(addresses: Addresses, file: Path, size_bytes: int, *, dry_run: bool, by: str) -> Done:
    done = Done()
    async with api(addresses, "transfer", by=by) as transfer, api(addresses, "linker", by=by) as linker:
        tickets = Tickets(linker, file.name, dry_run=dry_run)
        rehearsal = Rehearsal() if dry_run else None
        with done.noted(), show.progress() as bar:
            task = bar.add_task("bytes read", total=size_bytes)
            async for lot, read_bytes in _lots(file, done):
                for line in await _take_over(transfer, lot, done, rehearsal):
                    if line.said.ticket_info is not None:
                        await tickets.add(line.number, line.said.recording_id, line.said.ticket_info)
                bar.update(task, completed=read_bytes)
            bar.update(task, completed=size_bytes)
            await tickets.send()
    done.tickets = tickets.outcomes
    done.findings += tickets.findings
    done.findings.sort(key=lambda one: one[0])
    return done


async def _lots(file: Path, done: Done) -> AsyncIterator[tuple[list[Line], int]]:
    """Lines that can be used, as many as one request takes; what cannot is noted in `done`."""
    lot: list[Line] = []
    size_bytes = read_bytes = 0
    try:
        with await asyncio.to_thread(file.open, "rb") as opened:
            for number, line in _lines(opened):
                read_bytes += len(line)
                if not line.strip():
                    continue
                done.lines += 1
                said = _parse(number, line, done)
                if said is None:
                    continue
                lot.append(Line(number, said, len(line)))
                size_bytes += len(line)
                if len(lot) == ADOPTED_MAX or size_bytes >= LOT_BYTES:
                    yield lot, read_bytes
                    lot, size_bytes = [], 0
    except OSError as error:
        raise WrongInput(f"{file} cannot be read: {error.strerror}") from None
    if lot:
        yield lot, read_bytes


def _lines(opened: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Each with its number; of one that is too long only the beginning, which is no JSON."""
    number = 1
    while line := opened.readline(LINE_MAX_BYTES):
        rest = line
        while len(rest) == LINE_MAX_BYTES and not rest.endswith(b"\n"):
            rest = opened.readline(LINE_MAX_BYTES)
        yield number, line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
        number += 1


def _parse(number: int, line: bytes, done: Done) -> AdoptedLine | None:
    try:
        return AdoptedLine.model_validate_json(line)
    except ValidationError as error:
        done.findings += [(number, None, wrong.field or "line", wrong.rule) for wrong in broken_rules(error)]
        return None


async def _take_over(transfer: ServiceApi, lot: Sequence[Line], done: Done, rehearsal: Rehearsal | None) -> list[Line]:
    """Those that are transferred now, or were. `rehearsal`: it is a dry run, which has heard so much of the file."""
    ask = partial(_asked_for, transfer, dry_run=rehearsal is not None)
    all_said = [one.said for one in lot]
    became = await (rehearsal.judge(all_said, ask) if rehearsal else ask(all_said))
    taken = []
    for line, one in zip(lot, became, strict=True):
        done.outcomes[one.outcome] += 1
        if one.outcome == "conflict":
            done.findings.append((line.number, one.recording_id, one.reason or "conflict", one.message or ""))
        else:
            taken.append(line)
    return taken


async def _asked_for(transfer: ServiceApi, lot: Sequence[Adopted], *, dry_run: bool) -> Sequence[AdoptedRecording]:
    if not lot:
        return ()
    recordings = [one.model_dump(exclude={"ticket_info"}, exclude_none=True) for one in lot]
    body: dict[str, Any] = {"recordings": recordings, "dry_run": dry_run}
    answer = await transfer.call("POST", "/adoptions", AdoptedRecordings, json=body, time_limit_s=LOT_TIME_LIMIT_S)
    return answer.items


def _show(done: Done, *, dry_run: bool, json: bool) -> None:
    counts = {name: done.outcomes[name] for name in ("adopted", "already", "conflict")}
    if json:
        findings = [
            {"line": line, "recording_id": recording_id, "what": what, "message": message}
            for line, recording_id, what, message in done.findings
        ]
        became = {**counts, "tickets": dict(done.tickets), "findings": findings}
        show.as_json({"dry_run": dry_run, "lines": done.lines, **became, "ended_early": done.ended_early})
    else:
        show.pairs({"lines": done.lines, **counts, **{f"ticket {name}": one for name, one in done.tickets.items()}})
        if done.findings:
            show.table(("line", "recording", "what", "why"), done.findings[:SHOWN_MAX])
        if len(done.findings) > SHOWN_MAX:
            show.note(f"{len(done.findings):,} findings in all; --json has every one.")
    if dry_run:
        show.note("A dry run: nothing was changed.")
