"""The rules of linker's parked links and choices, over the model.

Stands for the SQL of store_parked.py, store_choices.py and store_matching.py in services/linker; see linker_store.py.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.events import TicketLinked
from services.linker.decisions import LinkRequest
from services.linker.store_choices import Choices
from services.linker.store_matching import Fresh, Matching, Pair
from services.linker.store_parked import Parked, target_key
from services.linker.target import Target
from tests.simulation import linker_store
from tests.simulation.database import now_of, tables_of
from tests.simulation.linker_store import LinkerTables, Recording


def _tables(connection: AsyncConnection) -> LinkerTables:
    return tables_of(connection, LinkerTables)


def _key(request: LinkRequest) -> tuple[str, str]:
    return request.request_id, target_key(request.target)


def _is_folder(target: Target, folder_id: str, tables: LinkerTables) -> bool:
    """store_parked.IN_FOLDER."""
    return target.folder in {None, folder_id} or any(
        one.folder_id == folder_id and one.folder_name == target.folder for one in tables.recording.values()
    )


class ParkedModel(Parked):
    """services.linker.store_parked.Parked."""

    async def waiting(self, targets: Collection[Target]) -> dict[str, LinkRequest]:
        keys = {target_key(one) for one in targets}
        rows = _tables(self._connection).parked_link
        return {key: row.request for (_, key), row in rows.items() if key in keys and row.state == "parked"}

    async def park(self, requests: Sequence[LinkRequest]) -> None:
        rows, now = _tables(self._connection).parked_link, now_of(self._connection)
        for one in requests:
            row = rows.get(_key(one))
            if row is None or row.request.requested_at < one.requested_at:
                # `park` is not kept: whatever waits was to wait.
                rows[_key(one)] = linker_store.Parked(one._replace(park=True), now, fresh=True, state="parked")

    async def meant_by(self, unlinks: Mapping[int, Target]) -> dict[int, Target]:
        tables = _tables(self._connection)
        rows = [row for _, row in sorted(tables.parked_link.items(), key=lambda item: item[0][1])]
        waiting = [one.request for one in rows if one.state == "parked" and one.request.ticket is not None]
        meant: dict[int, Target] = {}
        for place, target in unlinks.items():
            fitting = [
                one.target
                for one in waiting
                if one.target.name_key == target.name_key and _may_be_same(one.target.folder, target.folder, tables)
            ]
            named = [one for one in fitting if one.folder is not None and target.folder is not None]
            if any(one.folder == target.folder for one in fitting) or not (named or len(fitting) == 1):
                continue
            chosen = (named or fitting)[0]
            meant[place] = Target(filename=chosen.filename, folder=chosen.folder)
        return meant

    async def settle(
        self, requests: Sequence[LinkRequest], state: str, *, applied_to: Sequence[str] | None = None
    ) -> None:
        rows = _tables(self._connection).parked_link
        for place, one in enumerate(requests):
            row = rows.get(_key(one))
            if row and row.state == "parked" and row.request.requested_at == one.requested_at:
                went_to = applied_to[place] if applied_to else None
                rows[_key(one)] = row._replace(state=state, fresh=False, applied_to=went_to)

    async def settle_announced(self, facts: Sequence[TicketLinked]) -> None:
        tables = _tables(self._connection)
        for key, row in list(tables.parked_link.items()):
            for fact in facts:
                if row.state == "parked" and key[0] == fact.request_id and _is_meant(row.request.target, fact, tables):
                    tables.parked_link[key] = row._replace(state="applied", fresh=False, applied_to=fact.recording_id)


def _may_be_same(folder: str | None, other: str | None, tables: LinkerTables) -> bool:
    return (
        folder is None
        or other is None
        or folder == other
        or any({one.folder_id, one.folder_name} == {folder, other} for one in tables.recording.values())
    )


def _is_meant(target: Target, fact: TicketLinked, tables: LinkerTables) -> bool:
    if target.recording_id is not None:
        return target.recording_id == fact.recording_id
    return _has_name(target, fact.filename) and _is_folder(target, fact.folder_id, tables)


def _has_name(target: Target, filename: str) -> bool:
    key = Target(filename=filename).name_key or ""
    return target.name_key == key or (not target.has_extension and target.name_key == linker_store.stem(key))


class ChoicesModel(Choices):
    """services.linker.store_choices.Choices."""

    async def made(self, requests: Sequence[LinkRequest]) -> dict[int, str | None]:
        tables = _tables(self._connection)
        found: dict[int, str | None] = {}
        for place, one in enumerate(requests):
            linked = [
                row.recording_id
                for row in tables.link.values()
                if row.request_id == one.request_id
                and one.by_name
                and _has_name(one.target, row.filename)
                and _is_folder(one.target, row.folder_id, tables)
            ]
            if len(linked) == 1:
                found[place] = linked[0]
            row = tables.parked_link.get(_key(one))
            if row and _is_settled(row, one):
                found[place] = row.applied_to
        return found

    async def note(self, requests: Sequence[tuple[LinkRequest, str]]) -> None:
        rows, now = _tables(self._connection).parked_link, now_of(self._connection)
        for request, recording_id in requests:
            new = linker_store.Parked(request, now, fresh=False, state="applied", applied_to=recording_id)
            rows.setdefault(_key(request), new)


def _is_settled(row: linker_store.Parked, request: LinkRequest) -> bool:
    if row.state == "applied":
        return row.applied_to is not None
    return row.state != "parked" and row.request.requested_at == request.requested_at


class MatchingModel(Matching):
    """services.linker.store_matching.Matching."""

    async def arrivals(self, limit: int) -> list[str]:
        return sorted(_tables(self._connection).arrival)[:limit]

    async def forget_arrivals(self, recording_ids: Collection[str]) -> None:
        arrivals = _tables(self._connection).arrival
        for one in recording_ids:
            arrivals.pop(one, None)

    async def for_arrivals(self, recording_ids: Collection[str]) -> list[Pair]:
        rows = _tables(self._connection).recording
        return list(self._pair(self._waiting(), [rows[one] for one in recording_ids if one in rows]))

    async def fresh(self, limit: int) -> list[Fresh]:
        rows = _tables(self._connection).parked_link.items()
        fresh = [(key[1], key[0], row) for key, row in rows if row.state == "parked" and row.fresh]
        return [Fresh(one, target, row.request.requested_at) for target, one, row in sorted(fresh)[:limit]]

    async def for_fresh(self, fresh: Sequence[Fresh]) -> list[Pair]:
        targets = {one.target for one in fresh}
        waiting = [one for one in self._waiting() if target_key(one.target) in targets]
        rows = _tables(self._connection).recording.values()
        return list(self._pair(waiting, [one for one in rows if one.filename is not None]))

    async def looked_through(self, fresh: Sequence[Fresh]) -> None:
        rows = _tables(self._connection).parked_link
        for one in fresh:
            row = rows.get((one.request_id, one.target))
            if row and row.request.requested_at == one.requested_at:
                rows[(one.request_id, one.target)] = row._replace(fresh=False)

    def _waiting(self) -> list[LinkRequest]:
        rows = sorted(_tables(self._connection).parked_link.items(), key=lambda item: item[0][1])
        return [row.request for _, row in rows if row.state == "parked"]

    def _pair(self, waiting: Sequence[LinkRequest], recordings: Sequence[Recording]) -> Iterator[Pair]:
        tables = _tables(self._connection)
        for request in waiting:
            fitting = [one for one in recordings if _fits(request.target, one, tables)]
            if fitting:
                yield Pair(request, min(fitting, key=lambda one: one.arrived).recording_id)


def _fits(target: Target, row: Recording, tables: LinkerTables) -> bool:
    if target.recording_id is not None:
        return target.recording_id == row.recording_id
    by_id = any(one.folder_id == target.folder for one in tables.recording.values())
    in_folder = target.folder in {None, row.folder_id} or (target.folder == row.folder_name and not by_id)
    return row.filename is not None and _has_name(target, row.filename) and in_folder
