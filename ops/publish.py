"""`ticketsync publish recording-processed`: recordings from a file of JSON lines, all or none.

In: one RecordingProcessed a line, from a file or standard input; blank lines are skipped. Every line is checked before
anything is sent, so a bad one leaves Kafka untouched and is told with its number. The same line always gets the same
ce_id, so publishing a file again is a repeat and not news.
"""

import asyncio
import hashlib
import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Annotated

import typer
from pydantic import ValidationError

from ops import show
from ops.addresses import resolve
from ops.exits import WrongInput
from ops.kafka_access import producer
from ops.options import DataDir, Json
from schemas.envelope import encode
from schemas.events import RecordingProcessed
from schemas.topics import RECORDING_PROCESSED
from shared.kafka import KafkaSettings
from shared.producer import Outgoing

commands = typer.Typer(no_args_is_help=True, help="Publish events from a file.")

LOT_RECORDS = 500
LOT_BYTES = 16 * 1024 * 1024
BAD_LINES_SHOWN = 20
# Kafka counts key, headers and framing too; an event this close to the limit is refused here, not by the broker.
FRAMING_BYTES = 2_048


@dataclass(frozen=True)
class BadLine:
    """Why a line is no event: its number from 1, the field (empty: the line as a whole) and the rule."""

    line: int
    field: str
    error: str


@commands.command(
    "recording-processed",
    epilog="Example: ticketsync publish recording-processed recordings.jsonl --data-dir data",
)
def recording_processed(
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="JSON lines, one event each; - is standard input.", show_default=False)
    ],
    *,
    json: Json = False,
    data_dir: DataDir = None,
) -> None:
    """Publish recordings. If any line is bad, each bad line is told and nothing is published (exit 2)."""
    with _reread(file) as lines:
        good, bad = _check(lines)
        if json and bad:
            show.as_json({"published": 0, "bad_lines": [asdict(one) for one in bad]})
        if bad:
            raise WrongInput(_in_words(file, bad), todo="Nothing was published.")
        asyncio.run(_publish(resolve(data_dir).kafka(), lines, good))
    if json:
        show.as_json({"published": good, "bad_lines": []})
    else:
        show.out().print(f"published: {good}")


@contextmanager
def _reread(file: str) -> Iterator[IO[bytes]]:
    """The lines, to be read twice; what can be read only once (a pipe) is copied aside first."""
    with ExitStack() as opened:
        try:
            given = sys.stdin.buffer if file == "-" else opened.enter_context(Path(file).open("rb"))
            if file == "-" or not given.seekable():
                copy = opened.enter_context(TemporaryFile())
                shutil.copyfileobj(given, copy)
                copy.seek(0)
                given = copy
        except OSError as error:
            raise WrongInput(f"{file} cannot be read: {error.strerror}") from None
        yield given


def _check(lines: IO[bytes]) -> tuple[int, list[BadLine]]:
    """The number of good lines, and the bad ones."""
    good = 0
    bad: list[BadLine] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            record = _record(line)
        except ValidationError as error:
            bad += [
                BadLine(number, ".".join(map(str, one["loc"])), one["msg"])
                for one in error.errors(include_url=False, include_context=False, include_input=False)
            ]
            continue
        if len(record.value) + FRAMING_BYTES > RECORDING_PROCESSED.max_message_bytes:
            bad.append(BadLine(number, "", f"longer than {RECORDING_PROCESSED.max_message_bytes} bytes as an event"))
        else:
            good += 1
    return good, bad


async def _publish(kafka: KafkaSettings, lines: IO[bytes], total: int) -> None:
    lines.seek(0)
    with show.progress() as bar:
        task = bar.add_task("published", total=total)
        async with producer(kafka) as kafka_producer:
            for lot in _lots(_record(line) for line in lines if line.strip()):
                await kafka_producer.publish(lot)
                bar.advance(task, len(lot))


def _lots(records: Iterator[Outgoing]) -> Iterator[list[Outgoing]]:
    lot: list[Outgoing] = []
    size_bytes = 0
    for record in records:
        lot.append(record)
        size_bytes += len(record.value)
        if len(lot) >= LOT_RECORDS or size_bytes >= LOT_BYTES:
            yield lot
            lot, size_bytes = [], 0
    if lot:
        yield lot


def _record(line: bytes) -> Outgoing:
    event = RecordingProcessed.model_validate_json(line)
    content = hashlib.sha256(event.as_json()).hexdigest()
    encoded = encode(
        event,
        source="ticketsync/publish",
        event_id=f"{event.recording_id}/{event.revision}/{content[:32]}",
        time=event.processed_at,
        subject=event.recording_id,
    )
    return Outgoing(RECORDING_PROCESSED.name, event.recording_id.encode(), encoded.value, encoded.headers)


def _in_words(file: str, bad: list[BadLine]) -> str:
    shown = [f"  line {one.line}: {f'{one.field}: ' if one.field else ''}{one.error}" for one in bad[:BAD_LINES_SHOWN]]
    if len(bad) > BAD_LINES_SHOWN:
        shown.append(f"  and {len(bad) - BAD_LINES_SHOWN} more (--json shows all)")
    return "\n".join([f"{file} has bad lines", *shown])
