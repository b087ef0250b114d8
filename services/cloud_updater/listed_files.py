"""The files of a push as PostgreSQL lists them, taken apart when somebody asks which they are.

Of a push to a cloud that ignores older links nobody asks for more than their number, unless it refuses some; where one
may take effect late, each is named before it is sent.
"""

import json
from collections.abc import Sequence
from functools import cached_property
from typing import overload

from services.cloud_updater.decisions import OwedFile


class ListedFiles(Sequence[OwedFile]):
    """`number` files; their ids, seqs and versions as a JSON array each."""

    def __init__(self, number: int, ids: str, seqs: str, versions: str) -> None:
        self._number = number
        self._columns = ids, seqs, versions

    def __len__(self) -> int:
        return self._number

    @overload
    def __getitem__(self, place: int) -> OwedFile: ...

    @overload
    def __getitem__(self, place: slice) -> Sequence[OwedFile]: ...

    def __getitem__(self, place: int | slice) -> OwedFile | Sequence[OwedFile]:
        return self._files[place]

    def __repr__(self) -> str:
        return repr(self._files)

    @cached_property
    def _files(self) -> list[OwedFile]:
        return list(map(OwedFile, *map(json.loads, self._columns)))
