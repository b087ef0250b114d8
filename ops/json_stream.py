"""The one JSON object of a command whose lists are longer than memory: written as they come, all else behind them.

For a script it is one JSON value like any other; each item stands on a line of its own. Nothing is written before the
first list or the end, so a command that stops before it has anything to say leaves stdout empty.
"""

import sys
from collections.abc import Iterable, Mapping
from typing import Any

from ops.show import json_text


class JsonStream:
    """On stdout."""

    def __init__(self) -> None:
        self._before_field, self._before_item = "{", ""
        self._list: str | None = None

    def add(self, name: str, items: Iterable[Mapping[str, Any]]) -> None:
        """Write some of the list of that name; a list that goes on after another one is a bug."""
        if name != self._list:
            self._field(name, "[")
            self._list, self._before_item = name, ""
        for one in items:
            sys.stdout.write(f"{self._before_item}\n    {json_text(one)}")
            self._before_item = ","

    def end(self, fields: Mapping[str, Any]) -> None:
        """Write the rest of the object."""
        for name, value in fields.items():
            self._field(name, json_text(value))
        self._end_list()
        sys.stdout.write("\n}\n")

    def _field(self, name: str, begins: str) -> None:
        self._end_list()
        sys.stdout.write(f"{self._before_field}\n  {json_text(name)}: {begins}")
        self._before_field = ","

    def _end_list(self) -> None:
        if self._list is not None:
            sys.stdout.write("\n  ]" if self._before_item else "]")
            self._list = None
