"""What becomes of a batch before anything is stored: which facts are asked about, and which are applied."""

from collections.abc import Collection, Sequence
from typing import Any, cast

from schemas.raw_headers import joined
from schemas.topics import TICKET_LINKED
from shared.batch import Folded, fold_records
from shared.own_records import Skimmed
from shared.reading import Incoming, read
from shared.record import Record
from tests.schemas.given import as_json
from tests.schemas.records import BODY, ENVELOPE, KEY, STRUCTURED, Headers, binary

NO_DATABASE = cast("Any", None)


def _record(offset: int, headers: Headers, value: bytes) -> Record:
    return Record(TICKET_LINKED.name, 0, offset, 1_000, KEY, value, joined(headers))


async def _folded(*records: Record) -> tuple[list[int], list[int]]:
    """How many facts were asked about, each time, and which records were applied; all facts are known."""
    asked: list[int] = []
    applied: list[int] = []

    async def none_is_news(skimmed: Sequence[Skimmed], _: object) -> Collection[int]:
        asked.append(len(skimmed))
        return ()

    async def apply(batch: Sequence[Incoming[Any]], _: object) -> Folded:
        applied.extend(one.record.offset for one in batch)
        return Folded()

    batch = await read(TICKET_LINKED, records, skimmed=True)
    await fold_records(NO_DATABASE, batch, apply=apply, news=none_is_news, halve=False)
    return asked, applied


async def test_known_facts_are_not_read() -> None:
    binary_ones = [_record(offset, binary(), as_json(BODY)) for offset in range(3)]

    assert await _folded(*binary_ones) == ([3], [])


async def test_known_facts_are_read_if_others_beside_them_can_only_be_read_in_full() -> None:
    """Else what is heard would be locked before what those others lock: two processes could wait for each other."""
    first, last = (_record(offset, binary(), as_json(BODY)) for offset in (0, 2))

    assert await _folded(first, _record(1, STRUCTURED, as_json(ENVELOPE)), last) == ([], [0, 1, 2])


async def test_a_record_without_a_value_is_nothing_that_had_to_be_read() -> None:
    empty = _record(1, binary(), b"")._replace(value=None)

    assert await _folded(_record(0, binary(), as_json(BODY)), empty) == ([1], [])
