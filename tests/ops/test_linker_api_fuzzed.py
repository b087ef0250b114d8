"""Whatever is sent to linker's API, it answers as its OpenAPI document says, and never with a defect.

schemathesis makes requests of that document, valid ones and broken ones, for a linker with genuine Kafka and
PostgreSQL; always the same ones. Half of those that name something name what is there: recording and folder `0`, an
import, an upload, a parked link; so every route is seen to succeed, but for the one that wants a whole spreadsheet.
"""

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path

import httpx
import pytest

from tests.ops.commands import TICKETSYNC
from tests.ops.on_a_stack import Stack, recording

pytestmark = [pytest.mark.stack, pytest.mark.long, pytest.mark.timeout(300)]

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "unsupported_method",
)
SECONDS_MAX = 240


def test_no_request_finds_a_defect_or_an_answer_that_is_not_documented(stack: Stack, tmp_path: Path) -> None:
    line = json.dumps({**recording("0", "0", requires_ticket=True), "recording_id": "0"})
    assert stack("publish", "recording-processed", "-", stdin=line).code == 0
    stack.settle()
    (tmp_path / "schemathesis.toml").write_text(_config(_there(stack, tmp_path)))

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
            "--report=ndjson",
            f"--report-ndjson-path={tmp_path / 'requests.ndjson'}",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )

    assert run.returncode == 0, run.stdout + run.stderr
    # A file is no JSON, and there is no dead letter on this stack.
    never = {"POST /imports", "GET /dead-letters/{topic}/{partition}/{offset}"}
    assert _never_succeeded(tmp_path / "requests.ndjson") == never
    assert stack("doctor").code == 0


def _there(stack: Stack, tmp_path: Path) -> dict[str, str]:
    """Names of what is there, by the parameter that asks for it."""
    file = tmp_path / "links.csv"
    file.write_text("filename,folder,ticket_id\n0,0,T-1\nnot-there.wav,0,T-2\n,0,T-3\n")
    imported = stack("import", file, "--json").json
    headers = {"Authorization": f"Bearer {stack.addresses['api_token']}"}
    with httpx.Client(base_url=stack.addresses["linker_url"], headers=headers, trust_env=False) as api:
        uploaded = api.post("/uploads", params={"filename": file.name}, content=file.read_bytes()).json()
        parked = api.get("/parked-links").json()
    return {
        "path.recording_id": "0",
        "query.recording_id": "0",
        "query.folder": "0",
        "path.import_id": imported["import_id"],
        "path.upload_id": uploaded["upload_id"],
        "body.parked_ids[*]": parked["items"][0]["parked_id"],
    }


def _config(there: Mapping[str, str]) -> str:
    """Every other request names what is there."""
    lists = [f"[dictionaries.d{place}]\nvalues = [{json.dumps(name)}]" for place, name in enumerate(there.values())]
    bound = [f'"{one}" = {{ dictionary = "d{place}", probability = 0.5 }}' for place, one in enumerate(there)]
    return "\n".join([*lists, "[parameters]", *bound])


def _never_succeeded(report: Path) -> set[str]:
    """Routes of which no request was answered with what it asked for."""
    lines = map(json.loads, report.read_text().splitlines())
    done = [line["ScenarioFinished"]["recorder"] for line in lines if "ScenarioFinished" in line]
    answered = {
        one["label"]
        for one in done
        for asked in one["interactions"].values()
        if asked["response"] and httpx.codes.is_success(asked["response"]["status_code"])
    }
    return {one["label"] for one in done} - answered
