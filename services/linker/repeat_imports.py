"""Recognises an import that was done already: the same content, with the same mapping and options.

If all that it did still stands, doing it again could change nothing, so its first receipt is the answer. Otherwise its
rows are evaluated anew, under the moment at which the file was sent again.
"""

import hashlib
import json
from collections.abc import Mapping

from sqlalchemy.ext.asyncio import AsyncConnection

from services.linker import seen_imports
from services.linker.store_candidates import Candidates


def fingerprint(sha256: str, options: Mapping[str, object]) -> str:
    """What two imports have in common if they ask for the same."""
    return hashlib.sha256(json.dumps([sha256, options], sort_keys=True).encode()).hexdigest()


async def first_receipt(connection: AsyncConnection, known_by: str) -> str | None:
    """The import_id whose receipt still holds, if there is one."""
    import_id = await seen_imports.last_of(connection, known_by)
    if import_id is None or await seen_imports.links_changed(connection, import_id):
        return None
    return None if await _recordings_changed(connection, import_id) else import_id


async def _recordings_changed(connection: AsyncConnection, import_id: str) -> bool:
    """Whether a row that found no recording, or too many, would find exactly one now, or find none to choose from."""
    line = 0
    while part := await seen_imports.without_recording(connection, import_id, after_line=line):
        line, rows = part
        found = await Candidates(connection).of([target for _, target in rows])
        for (outcome, _), candidates in zip(rows, found, strict=True):
            still_so = len(candidates) > 1 if outcome == "ambiguous" else not candidates
            if not still_so:
                return True
    return False
