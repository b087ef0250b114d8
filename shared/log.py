"""Logging: one JSON object a line on standard output, the same for this code and for every library.

info = done, warning = will be tried again or was skipped, error = needs someone. Transcripts, customers, tokens and
bodies are never handed to a logger; libraries print them at DEBUG, so all of those are kept at WARNING whatever the
level. Of what they say at it only their own words are kept, without the values that were put into them, and of those
the first line: below it asyncio quotes the exception of a task that nobody asked.
"""

import logging
import sys
import traceback
from collections.abc import Iterator
from contextlib import suppress
from typing import TextIO

import structlog
from structlog.typing import EventDict, ExcInfo, Processor

from shared.database import sqlstate


def configure(service: str, level: str) -> None:
    """Write JSON lines of `level` and above, each naming the service; of libraries, warnings alone."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    rendered: list[Processor] = [
        structlog.processors.ExceptionRenderer(without_values),
        structlog.processors.JSONRenderer(),
    ]
    output = _Output(sys.stdout)
    # What logs through the standard library is a library, whatever its name; also one that another brings along.
    output.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, _at_most_a_warning, _first_line],
            use_get_message=False,  # the library's text as it stands in its code
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendered],
        )
    )
    root = logging.getLogger()
    root.handlers = [output]
    own_level = logging.getLevelNamesMapping()[level]
    root.setLevel(max(logging.WARNING, own_level))
    structlog.configure(
        processors=[*shared, *rendered],
        wrapper_class=structlog.make_filtering_bound_logger(own_level),
        logger_factory=lambda *_: output,
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(service=service)


class _Output(logging.StreamHandler[TextIO]):
    """Writes what libraries log, and our own lines as they are: a record of logging for each took most of its time."""

    def line(self, text: str) -> None:
        """Write it whole. Where it cannot be written, the work goes on, as it does for libraries."""
        self.acquire()
        try:
            self.stream.write(text + self.terminator)
            self.flush()
        except (OSError, ValueError, AttributeError):  # the last where the process was started without an output
            self.handleError(logging.makeLogRecord({}))
        finally:
            self.release()

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002, N802  # as logging has it
        """Say so on standard error, if there is one; what logging itself prints quotes the error that was logged."""
        error = sys.exc_info()[1]
        with suppress(OSError, ValueError, AttributeError):
            sys.stderr.write(f"a log line was not written: {type(error).__name__} {getattr(error, 'strerror', '')}\n")

    debug = info = warning = error = critical = line


def _at_most_a_warning(_: object, __: str, event: EventDict) -> EventDict:
    """A library's error is tried again here, so nobody is needed: a Kafka that is away says dozens in a second."""
    if event["level"] in {"error", "critical"}:
        event["level"] = "warning"
    return event


def _first_line(_: object, __: str, event: EventDict) -> EventDict:
    event["event"] = str(event["event"]).partition("\n")[0]
    return event


def without_values(exc_info: ExcInfo) -> str:
    """An exception as its kind and its place in the code, each cause a line. Its text may quote a row or a token."""
    return "\n".join(_kinds_and_places(exc_info[1]))


def _kinds_and_places(error: BaseException | None) -> Iterator[str]:
    while error is not None:
        frames = traceback.extract_tb(error.__traceback__)[-5:]
        places = " < ".join(f"{frame.filename}:{frame.lineno} {frame.name}" for frame in reversed(frames))
        yield f"{type(error).__module__}.{type(error).__qualname__} {sqlstate(error)} at {places}"
        if isinstance(error, BaseExceptionGroup):
            for one in error.exceptions:
                yield from _kinds_and_places(one)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
