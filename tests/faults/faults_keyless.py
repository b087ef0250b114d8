"""A cloud that honours no idempotency keys for a while: nobody repeats an upload of which nobody knows what became.

It is held until an operator has looked into the cloud, who finds by the request's id in the log of effects whether it
has had its effect. The watch sees that nothing has one twice; the calm, that everything goes on after the answers.
"""

from typing import Any

import asyncpg

from tests.faults.run import Run, until

KEYS = "idempotency-key"
# With the effect and without it. Fewer than open the circuit: then there would be ever fewer uploads to meet one.
WITH_EFFECT = ({"kind": "close_after_effect"}, {"kind": "answer_after_effect", "status": 502})
WITHOUT = ({"kind": "close_before_effect"}, {"kind": "answer", "status": 500})
ROUTES = ("create", "inject")
UNREPEATED = """
    select q.id, q.folder_id, q.attempts, coalesce(f.held, '') as held
    from upload_request q join folder f using (folder_id) where not q.keys_honoured
"""


async def without_keys(run: Run) -> int:
    """Some uploads are left in doubt, and answered for; then the cloud honours keys again."""
    # What was first sent under a key may be repeated until a ping has said that this helps no longer.
    async with run.load.pause():
        await until(lambda: _no_upload(run), "no upload under way")
        await _honour(run, keys=False)
    try:
        held = await _leave_in_doubt(run)
        for one in held:
            await until(lambda one=one: _answered(run, one), f"an answer about {one['folder_id']}")  # type: ignore[misc]
    finally:
        await _honour(run, keys=True)
    await until(lambda: _all_answered(run), "every upload in doubt answered for")
    return len(held)


async def _no_upload(run: Run) -> bool:
    return not await run.site.sql("transfer", "select from upload_request")


async def _honour(run: Run, *, keys: bool) -> None:
    """Once it is over, transfer knows."""

    async def present() -> set[str]:
        [row] = await run.site.sql("transfer", "select capabilities from lane")
        return set(row["capabilities"] or ())

    others = await present() - {KEYS}
    await run.site.cloud("PUT", "/capabilities", json={"capabilities": sorted(others | {KEYS} if keys else others)})

    async def known() -> bool:
        return (KEYS in await present()) == keys

    await until(known, f"transfer knows that keys are {'' if keys else 'not '}honoured")


async def _leave_in_doubt(run: Run) -> list[asyncpg.Record]:
    """Those that are held then; each was sent once."""
    await run.site.cloud("DELETE", "/faults")
    faults = [{**run.chance.choice(kinds), "route": route} for route in ROUTES for kinds in (WITH_EFFECT, WITHOUT)]
    for fault in run.chance.sample(faults, len(faults)):
        await run.site.cloud("POST", "/faults", json=fault)

    async def held() -> list[asyncpg.Record] | None:
        armed = (await run.site.cloud("GET", "/faults"))["faults"]
        found = [one for one in await run.site.sql("transfer", UNREPEATED) if one["held"] == "outcome_unknown"]
        return found if all(one["taken"] for one in armed) and len(found) >= len(faults) else None

    try:
        found = await until(held, "uploads that are left in doubt and held")
    finally:
        await run.site.cloud("DELETE", "/faults")
    run.broken += [
        f"an upload to {one['folder_id']} was repeated without a key" for one in found if one["attempts"] > 1
    ]
    status = await run.load.call("transfer", "GET", "/status")
    if not status[0]["blocked"]["outcome_unknown"]:
        run.broken.append("folders are held, and nobody is told")
    return found


async def _answered(run: Run, held: asyncpg.Record) -> bool:
    """What an operator says who has looked; somebody else's answer is as good."""
    await run.watch.read_effects()
    made: list[dict[str, Any]] = [one for one in run.watch.effects if one["idempotency_key"] == str(held["id"])]
    said = {"answer": "exists_as", "clouds_uuid": made[0]["uuid"]} if made else {"answer": "send_again"}
    await run.load.ask_service("transfer", "POST", f"/folders/{held['folder_id']}/answer", json=said)
    return not await run.site.sql("transfer", f"select from upload_request where id = '{held['id']}'")


async def _all_answered(run: Run) -> bool:
    """Also for those whose process died, or was cut off, while no keys were honoured."""
    found = await run.site.sql("transfer", UNREPEATED)
    for one in found:
        if one["held"]:
            await _answered(run, one)
    return not found
