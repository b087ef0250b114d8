"""Carries out what an operator decides about what waits, one folder or lot at a time, each as transfer's API offers it.

What transfer refuses, because it has changed since it was listed or a uuid is missing, is told and does not stop the
others. A transfer that is away does; what was done by then is told (ops/so_far.py).
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from ops import show
from ops.addresses import Addresses
from ops.answers import Anything
from ops.answers.held import Retried
from ops.held import MISSING, FolderCase, Held
from ops.service_api import Refused, ServiceApi, api
from ops.so_far import SoFar
from shared.path_segment import path_segment

LOT = 1_000


class Decided(NamedTuple):
    """What became of one. `outcome` is done or refused; `message`, if refused, says why."""

    outcome: str
    folder_id: str | None
    recording_id: str | None = None
    message: str | None = None


@dataclass
class Decisions(SoFar):
    """What became of those that were decided."""

    items: list[Decided] = field(default_factory=list, repr=False)  # for the reason of `Held`


async def retry(addresses: Addresses, found: Held, *, by: str) -> Decisions:
    """Upload all of it again."""

    async def folder(transfer: ServiceApi, case: FolderCase) -> None:
        if case.reason == MISSING:
            await _post(transfer, case, "upload-again", {"clouds_uuid": case.clouds_uuid})
        else:
            await _post(transfer, case, "answer", {"answer": "send_again", "request_id": case.request_id})

    return await _each(addresses, found, folder, by=by)


async def exists_as(addresses: Addresses, found: Held, *, clouds_uuid: str | None, by: str) -> Decisions:
    """Count the open requests as done; `clouds_uuid` is the folder that was made, needed for a new one."""

    async def folder(transfer: ServiceApi, case: FolderCase) -> None:
        body = {"answer": "exists_as", "clouds_uuid": clouds_uuid, "request_id": case.request_id}
        await _post(transfer, case, "answer", body)

    return await _each(addresses, found, folder, by=by)


async def give_up(addresses: Addresses, found: Held, *, by: str) -> Decisions:
    """Do not upload what waits in these folders."""

    async def folder(transfer: ServiceApi, case: FolderCase) -> None:
        if case.reason == MISSING:
            await _post(transfer, case, "give-up", {"clouds_uuid": case.clouds_uuid})
        else:
            await _post(transfer, case, "answer", {"answer": "give_up", "request_id": case.request_id})

    return await _each(addresses, found, folder, by=by)


async def _each(
    addresses: Addresses, found: Held, decide: Callable[[ServiceApi, FolderCase], Awaitable[None]], *, by: str
) -> Decisions:
    done = Decisions()
    async with api(addresses, "transfer", by=by) as transfer:
        with done.noted(), show.progress() as bar:
            task = bar.add_task("decided", total=len(found.folders) + len(found.rejected))
            for case in found.folders:
                try:
                    await decide(transfer, case)
                except Refused as refused:
                    done.items.append(Decided("refused", case.folder_id, message=refused.message))
                else:
                    done.items.append(Decided("done", case.folder_id))
                bar.advance(task)
            for first in range(0, len(found.rejected), LOT):
                lot = found.rejected[first : first + LOT]
                ids = [one.recording_id for one in lot]
                answer = await transfer.call("POST", "/rejected/retry", Retried, json={"recording_ids": ids})
                done.items += _retried(ids, {one.recording_id: one.folder_id for one in lot}, set(answer.retried))
                bar.advance(task, len(lot))
    return done


def _retried(ids: Sequence[str], folder_ids: dict[str, str | None], retried: set[str]) -> list[Decided]:
    gone = "it is not rejected any more"
    return [
        Decided("done", folder_ids[one], one) if one in retried else Decided("refused", folder_ids[one], one, gone)
        for one in ids
    ]


async def _post(transfer: ServiceApi, case: FolderCase, what: str, body: dict[str, str | None]) -> None:
    given = {name: value for name, value in body.items() if value is not None}
    await transfer.call("POST", f"/folders/{path_segment(case.folder_id)}/{what}", Anything, json=given)
