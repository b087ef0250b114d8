"""Writes what other languages read of the events: `json/`, `asyncapi.yaml`, and on a release `released/`.

`python -m schemas.generate` writes; `--check` writes nothing and exits 1 if a file is not what the code says;
`--release` also freezes the schemas, unless one would break readers of the version that it names. A frozen schema is
the promise that the tests hold every later change to.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import yaml
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

from schemas.asyncapi import document
from schemas.compatibility import incompatible_changes
from schemas.events import EVENTS, Event
from schemas.headers import type_of

HERE = Path(__file__).parent
EXAMPLES_DIR = HERE / "examples"


class _WithoutFieldTitles(GenerateJsonSchema):
    """Titles of fields only repeat their names."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ANN401, ARG002 - as pydantic calls it
        return False


def stem(event: type[Event]) -> str:
    """TicketLinked.v1, as the event's files begin."""
    return f"{event.__name__}.v{event.major_version}"


def json_file(event: type[Event], folder: Path = HERE) -> Path:
    """Where the event's present schema stands."""
    return folder / "json" / f"{stem(event)}.schema.json"


def released_file(event: type[Event], folder: Path = HERE) -> Path:
    """Where the event's schema stands as it was at the last release."""
    return folder / "released" / f"{stem(event)}.schema.json"


def json_schema(event: type[Event]) -> JsonSchemaValue:
    """What a publisher may send, as JSON Schema 2020-12."""
    return {
        "$schema": GenerateJsonSchema.schema_dialect,
        "$id": f"urn:{type_of(event).replace('.', ':')}",
        **event.model_json_schema(schema_generator=_WithoutFieldTitles),
    }


def examples(event: type[Event]) -> list[tuple[str, dict[str, Any]]]:
    """The hand-written bodies of the event's present version, by name."""
    start = f"{stem(event)}."
    return [
        (file.name.removeprefix(start).removesuffix(".json"), json.loads(file.read_bytes()))
        for file in sorted(EXAMPLES_DIR.glob(f"{start}*.json"))
    ]


def generated_files(folder: Path = HERE) -> dict[Path, str]:
    """Every generated file with its text."""
    files = {json_file(event, folder): _json_text(json_schema(event)) for event in EVENTS}
    files[folder / "asyncapi.yaml"] = yaml.safe_dump(
        document({event: examples(event) for event in EVENTS}), sort_keys=False, allow_unicode=True, width=120
    )
    return files


def stale_files(folder: Path = HERE) -> list[Path]:
    """Files that are not what the code says: changed, missing, or of an event that there is no more."""
    wanted = generated_files(folder)
    files = wanted.keys() | set((folder / "json").iterdir())
    return sorted(file for file in files if not file.exists() or file.read_text("utf-8") != wanted.get(file))


def breaches(folder: Path = HERE) -> list[str]:
    """Changes against the frozen schemas that would break their readers; each names event and field."""
    found = []
    for event in EVENTS:
        released = released_file(event, folder)
        if released.exists():
            changes = incompatible_changes(json.loads(released.read_bytes()), json_schema(event))
            found += [f"{stem(event)}: {change}" for change in changes]
    return found


def main(arguments: list[str] | None = None, *, folder: Path = HERE) -> int:
    """Exit code 0, or 1 with the reasons on stderr. `folder` holds json/, released/ and asyncapi.yaml."""
    parser = argparse.ArgumentParser(prog="python -m schemas.generate", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a file would change")
    parser.add_argument("--release", action="store_true", help="also freeze the schemas that readers may rely on")
    options = parser.parse_args(arguments)

    findings = breaches(folder)
    if options.check:
        findings += [f"{file.name} is not what the code says: run make schemas" for file in stale_files(folder)]
    if findings:
        print(*findings, sep="\n", file=sys.stderr)
        return 1

    if not options.check:
        _write(folder)
    if options.release:
        _release(folder)
    return 0


def _write(folder: Path) -> None:
    for file, text in generated_files(folder).items():
        file.write_text(text, "utf-8")
    for leftover in stale_files(folder):
        leftover.unlink()


def _release(folder: Path) -> None:
    for event in EVENTS:
        released_file(event, folder).write_text(_json_text(json_schema(event)), "utf-8")


def _json_text(value: JsonSchemaValue) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.exit(main())
