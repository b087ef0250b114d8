"""Whatever is sent to linker's API, it answers as its OpenAPI document says, and never with a defect.

schemathesis makes requests of that document, valid ones and broken ones, for a linker with genuine Kafka and
PostgreSQL; always the same ones. Recording `0`, in folder `0`, is what its simplest valid requests name.
"""

import json
import subprocess
from pathlib import Path

import pytest

from tests.ops.commands import TICKETSYNC
from tests.ops.on_a_stack import Stack, recording

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "unsupported_method",
)
SECONDS_MAX = 60


def test_no_request_finds_a_defect_or_an_answer_that_is_not_documented(stack: Stack, tmp_path: Path) -> None:
    line = json.dumps({**recording("0", "0", requires_ticket=True), "recording_id": "0"})
    assert stack("publish", "recording-processed", "-", stdin=line).code == 0
    stack.settle()

    run = subprocess.run(
        [
            TICKETSYNC.with_name("schemathesis"),
            "run",
            f"{stack.addresses['linker_url']}/openapi.json",
            f"--header=Authorization: Bearer {stack.addresses['api_token']}",
            "--phases=coverage,fuzzing",
            f"--checks={','.join(CHECKS)}",
            "--max-examples=40",
            "--generation-deterministic",
            "--continue-on-failure",
            "--no-color",
            "--warnings=off",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )

    assert run.returncode == 0, run.stdout + run.stderr
    assert stack("doctor").code == 0
