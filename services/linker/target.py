"""What a request names: a recording by its id, or by its filename. Values in, values out.

Apart from what is decided about it, because the process that reads spreadsheets starts faster without events.
"""

import unicodedata
from typing import NamedTuple

EXTENSION_MAX = 10


class Target(NamedTuple):
    """The recording that a request means: by id, or by filename with an optional folder (id, else a unique name)."""

    recording_id: str | None = None
    filename: str | None = None
    folder: str | None = None

    @property
    def name_key(self) -> str | None:
        """The filename as it is compared: in NFC, case-sensitive, whole."""
        return unicodedata.normalize("NFC", self.filename) if self.filename is not None else None

    @property
    def has_extension(self) -> bool:
        """Only a name without one is compared with names without theirs."""
        if self.filename is None:
            return True
        stem, dot, extension = self.filename.rpartition(".")
        return bool(stem and dot) and len(extension) <= EXTENSION_MAX and extension.isalnum()
