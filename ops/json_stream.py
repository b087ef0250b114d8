"""The one JSON object of a command whose list is longer than memory: written as it comes, what is said of it behind it.

For a script it is one JSON value like any other; each item stands on a line of its own. Nothing is written before the
first item or the end, so a command that stops before it has anything to say leaves stdout empty.
"""

import sys
from collections.abc import Iterable, Mapping
from typing import Any

from ops.show import json_text


class JsonStream:
    """On stdout; `name` is that of the list."""

    def __init__(self, name: str) -> None:
        self._begun = f"{{\n  {json_text(name)}: ["
        self._items = 0

    def add(self, items: Iterable[Mapping[str, Any]]) -> None:
        """Write some of the list."""
        for one in items:
            sys.stdout.write(f"{',' if self._items else self._begun}\n    {json_text(one)}")
            self._items += 1

    def end(self, fields: Mapping[str, Any]) -> None:
        """Close the list, and write the rest of the object."""
        rest = "".join(f",\n  {json_text(name)}: {json_text(value)}" for name, value in fields.items())
        sys.stdout.write(("\n  ]" if self._items else f"{self._begun}]") + rest + "\n}\n")
