"""The files that other languages read are what the code says, and every reference in them leads somewhere."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from faststream.specification.asyncapi.v3_0_0.schema import ApplicationSchema

from schemas import generate
from schemas.events import EVENTS
from schemas.topics import TOPICS


def test_the_committed_files_are_what_the_code_says() -> None:
    assert generate.stale_files() == [], "run make schemas"
    assert generate.main(["--check"]) == 0


def test_every_json_schema_is_one() -> None:
    for event in EVENTS:
        jsonschema.Draft202012Validator.check_schema(generate.json_schema(event))


def test_asyncapi_names_every_topic_and_everyone_who_uses_it() -> None:
    document = asyncapi()

    assert set(document["channels"]) == {topic.name for topic in TOPICS}
    assert {name for name in document["operations"] if name.endswith(".TicketLinked")} == {
        "linker.send.TicketLinked",
        "transfer.receive.TicketLinked",
        "cloud_updater.receive.TicketLinked",
        "linker.receive.TicketLinked",
    }
    assert ApplicationSchema.model_validate(document).asyncapi == "3.0.0"


def test_every_reference_in_the_asyncapi_document_leads_somewhere() -> None:
    document = asyncapi()
    found = list(references(document))

    assert len(found) > len(TOPICS)
    for reference in found:
        if reference.startswith("#/"):
            target = document
            for part in reference.removeprefix("#/").split("/"):
                target = target[part]
        else:
            assert (generate.HERE / reference).is_file()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The generator's files, copied: a test may spoil them."""
    for name in ("json", "released"):
        shutil.copytree(generate.HERE / name, tmp_path / name)
    shutil.copy(generate.HERE / "asyncapi.yaml", tmp_path)
    return tmp_path


def test_drift_is_found_and_generating_mends_it(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    leftover = folder / "json" / "TicketMislaid.v1.schema.json"
    leftover.write_text("{}")
    (folder / "json" / "TicketLinked.v1.schema.json").write_text("{}")
    (folder / "asyncapi.yaml").unlink()

    assert generate.main(["--check"], folder=folder) == 1
    err = capsys.readouterr().err
    assert all(name in err for name in ("TicketMislaid.v1.schema.json", "TicketLinked.v1.schema.json", "asyncapi.yaml"))

    assert generate.main([], folder=folder) == 0
    assert generate.main(["--check"], folder=folder) == 0
    assert not leftover.exists()


def test_a_change_that_breaks_what_was_released_is_neither_written_nor_released(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    released = folder / "released" / "TicketLinked.v1.schema.json"
    schema = json.loads(released.read_bytes())
    schema["properties"]["priority"] = {"type": "integer"}
    released.write_text(json.dumps(schema))

    assert generate.main(["--release"], folder=folder) == 1
    assert "TicketLinked.v1: priority: removed" in capsys.readouterr().err
    assert "priority" in released.read_text()


def test_a_release_freezes_what_the_code_says(folder: Path) -> None:
    for file in (folder / "released").iterdir():
        file.unlink()

    assert generate.main(["--release"], folder=folder) == 0

    frozen = {file.name: file.read_text() for file in (folder / "released").iterdir()}
    assert frozen == {file.name: file.read_text() for file in (folder / "json").iterdir()}
    assert len(frozen) == 6


def asyncapi() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((generate.HERE / "asyncapi.yaml").read_text("utf-8"))
    return document


def references(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        for name, value in node.items():
            if name == "$ref":
                yield value
            else:
                yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)
