"""What a question at a terminal leads to, however it is answered."""

import json
import os
import subprocess
from signal import SIGINT

import pytest

from tests.ops.answering import Reply, answering
from tests.ops.commands import TICKETSYNC

WAITS = {"parked_id": "p", "request_id": "q", "recording_id": None, "folder": None, "filename": "a.wav"}
LINK = {**WAITS, "ticket_id": "T", "age_s": 1, "state": "waiting"}


@pytest.mark.parametrize(
    ("answer", "code", "said"),
    [(None, 130, ""), (b"n\n", 1, "nothing was done"), (b"\x04", 1, "nothing was done"), (b"y\n", 0, "")],
    ids=["Ctrl-C", "no", "Ctrl-D", "yes"],
)
def test_how_a_question_ends(answer: bytes | None, code: int, said: str) -> None:
    found, done = Reply(body=json.dumps({"items": [LINK]}).encode()), Reply(body=b'{"dropped": 1, "gone": 0}')
    person, terminal = os.openpty()
    with answering(found, done) as linker:
        settings = {**os.environ, "LINKER_URL": linker.url, "API_TOKEN": "x"}
        drop = [str(TICKETSYNC), "parked", "drop", "--ticket", "T"]
        with subprocess.Popen(
            drop, stdin=terminal, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=settings
        ) as asking:
            os.close(terminal)
            assert asking.stderr
            told = b""
            while not told.endswith(b"[y/N]:") and (said_next := asking.stderr.read(1)):
                told += said_next
            if answer is None:
                asking.send_signal(SIGINT)
            else:
                os.write(person, answer)
            told += asking.stderr.read()
            assert (asking.wait(timeout=20), "Traceback" in told.decode()) == (code, False), told
    os.close(person)

    assert said in told.decode()
    assert len(linker.seen) == (2 if code == 0 else 1)
