"""Small files of a data folder: names and what belongs to them as JSON, and tokens.

Another process may be reading, and this one may be killed: a file is written aside, then renamed. They hold passwords
and tokens, so only their owner may read them.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

V = TypeVar("V")


def write_json(path: Path, values: Mapping[str, object]) -> None:
    """Replace the file in one step; mode 0600."""
    write_text(path, json.dumps(values, indent=2))


def write_text(path: Path, line: str) -> None:
    """Replace the file in one step; mode 0600."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    aside.unlink(missing_ok=True)
    with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(f"{line}\n")
    aside.replace(path)


def read_json(path: Path, of: type[V]) -> dict[str, V]:
    """What the file holds, all values being of one type; nothing if there is no such file."""
    try:
        values: dict[str, object] = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    return {name: value for name, value in values.items() if isinstance(value, of)}
