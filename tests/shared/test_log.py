"""What is logged is one JSON object a line on standard output, whoever says it."""

import json
import subprocess
import sys
from pathlib import Path

BEGINNING = """
import logging, sys, threading
import structlog
from shared import log

log.configure("test", "INFO")
own, library = structlog.get_logger(), logging.getLogger("library")
"""
BOTH = """
own.info("done", clouds_uuid="ü-1", files=3)
library.warning("lost %s", "what it was")
own.debug("below the level")
library.info("below a library's level")
try:
    raise ValueError("of a row")
except ValueError:
    own.exception("failed", error=ValueError)
"""
SIDE_BY_SIDE = """
def say():
    for _ in range(500):
        own.info("own", text="x" * 3000)
        library.warning("library" * 300)

threads = [threading.Thread(target=say) for _ in range(4)]
for one in threads:
    one.start()
for one in threads:
    one.join()
"""


def _said(program: str) -> list[str]:
    ended = subprocess.run([sys.executable, "-c", BEGINNING + program], capture_output=True, check=True, timeout=60)
    assert ended.stderr == b""
    return ended.stdout.decode("ascii").splitlines()


def test_our_lines_and_those_of_libraries_come_in_their_order_with_the_same_fields() -> None:
    done, lost, failed = (json.loads(line) for line in _said(BOTH))

    assert list(done) == ["clouds_uuid", "files", "event", "service", "level", "timestamp"]
    assert (done["clouds_uuid"], done["files"], done["event"]) == ("ü-1", 3, "done")
    assert (done["service"], done["level"], done["timestamp"][-1]) == ("test", "info", "Z")
    assert list(lost) == ["event", "service", "level", "timestamp"]
    assert (lost["event"], lost["service"], lost["level"]) == ("lost %s", "test", "warning")
    assert list(failed) == ["error", "event", "service", "level", "timestamp", "exception"]
    assert (failed["error"], failed["level"]) == ("<class 'ValueError'>", "error")
    assert failed["exception"].startswith("builtins.ValueError  at <string>:")
    assert done["timestamp"] < lost["timestamp"] < failed["timestamp"]


def test_lines_of_several_threads_stay_whole() -> None:
    said = [json.loads(line)["event"] for line in _said(SIDE_BY_SIDE)]

    assert sorted(said) == ["library" * 300] * 2000 + ["own"] * 2000


def test_a_full_disk_under_the_log_does_not_stop_the_work_nor_tell_what_was_to_be_logged() -> None:
    program = BEGINNING + BOTH + 'print("worked", file=sys.stderr)'
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            [sys.executable, "-c", program], check=False, stdout=full, stderr=subprocess.PIPE, timeout=60
        )

    assert ended.stderr.count(b"a log line was not written: OSError No space left on device\n") == 3
    assert ended.stderr.startswith(b"a log line")
    assert b"\nworked\n" in ended.stderr
    assert b"of a row" not in ended.stderr


def test_without_any_output_the_work_goes_on(tmp_path: Path) -> None:
    """As a process whose outputs were closed by whoever started it."""
    program = BEGINNING + BOTH + f"open({str(tmp_path / 'worked')!r}, 'w').close()"

    subprocess.run(["/bin/sh", "-c", '"$0" -c "$1" >&- 2>&-', sys.executable, program], check=True, timeout=60)

    assert (tmp_path / "worked").exists()
