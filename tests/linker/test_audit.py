"""What is done through linker's API leaves a record of who did it, and what changes nothing leaves none."""

from typing import Any

from tests.linker.given import a_recording
from tests.linker.running import Linker

ANN = [(b"X-Requested-By", "Ann Weiß".encode())]


async def records(linker: Linker) -> list[dict[str, Any]]:
    """The oldest first."""
    async with linker.api() as api:
        items: list[dict[str, Any]] = (await api.get("/audit")).json()["items"]
    return items[::-1]


async def test_links_and_unlinks_are_recorded_with_their_version_as_far_as_they_change_something(
    linker: Linker,
) -> None:
    await linker.fold(a_recording("R1"))
    body = {"recording_id": "R1", "ticket_info": {"ticket_id": "T-1"}, "request_id": "q-1"}
    async with linker.api() as api:
        for _ in range(2):
            await api.post("/links", json=body, headers=ANN)
        await api.delete("/links?recording_id=R1&linked_by=bob")
        await api.delete("/links?recording_id=R1")
        shown = (await api.get("/recordings/R1")).json()

    first, second = await records(linker)
    assert (first["who"], first["what"], first["subject"]) == ("Ann Weiß", "linked", "R1")
    assert first["detail"] == {"link_version": 1, "request_id": "q-1"}
    assert (second["who"], second["what"], second["detail"]["link_version"]) == ("bob", "unlinked", 2)
    assert [one["linked_by"] for one in shown["history"]] == ["bob", "Ann Weiß"]


async def test_a_link_that_waits_is_recorded_once_and_so_is_its_withdrawal(linker: Linker) -> None:
    body = {"filename": "x.wav", "ticket_info": {"ticket_id": "T-1"}, "request_id": "q-1"}
    async with linker.api() as api:
        first = (await api.post("/links", json=body, headers=ANN)).json()
        requested_at = (await linker.rows("select requested_at from parked_link"))[0]["requested_at"].isoformat()
        again = (await api.post("/links", json={**body, "requested_at": requested_at}, headers=ANN)).json()
        await api.delete("/links?filename=x.wav", headers=ANN)

    assert (first["outcome"], again["outcome"]) == ("parked", "parked")
    assert [(one["what"], one["subject"]) for one in await records(linker)] == [
        ("link_parked", "x.wav"),
        ("parked_link_withdrawn", "x.wav"),
    ]


async def test_an_import_is_recorded_when_it_is_accepted_and_not_when_it_is_a_dry_run_or_a_repeat(
    linker: Linker,
) -> None:
    await linker.fold(a_recording("R1"))
    content = b"filename,ticket_id\nR1.wav,T-1\n"
    async with linker.api() as api:
        await api.post("/imports?filename=a.csv&dry_run=true", content=content, headers=ANN)
        accepted = (await api.post("/imports?filename=a.csv", content=content, headers=ANN)).json()
        while await linker.import_lot():
            pass
        repeated = (await api.post("/imports?filename=a.csv", content=content, headers=ANN)).json()
        shown = (await api.get("/recordings/R1")).json()

    assert repeated == {"import_id": accepted["import_id"], "repeated": True}
    [one] = await records(linker)
    assert (one["who"], one["what"], one["subject"]) == ("Ann Weiß", "import_accepted", accepted["import_id"])
    assert one["detail"]["filename"] == "a.csv"
    assert shown["linked_by"] == "Ann Weiß"


async def test_who_drops_parked_links_is_recorded(linker: Linker) -> None:
    async with linker.api() as api:
        await api.post("/links", json={"filename": "x.wav", "ticket_info": {"ticket_id": "T-1"}, "request_id": "q-1"})
        [waiting] = (await api.get("/parked-links")).json()["items"]
        for _ in range(2):
            await api.post("/parked-links/drop", json={"parked_ids": [waiting["parked_id"]]}, headers=ANN)

    [_, dropped] = await records(linker)
    assert (dropped["who"], dropped["what"]) == ("Ann Weiß", "parked_links_dropped")
    assert dropped["detail"] == {"links": 1, "gone": 0, "request_ids": ["q-1"]}


async def test_wrong_conditions_are_refused(linker: Linker) -> None:
    async with linker.api() as api:
        for query in ("since=yesterday", "limit=0", "limit=1001", "cursor=nonsense", "who="):
            assert (await api.get(f"/audit?{query}")).status_code == 422, query
        unknown = (await api.get("/audit?what=import_acepted")).json()
        refused = await api.delete("/links?recording_id=R1", headers={"X-Requested-By": "x" * 256})
    assert unknown["errors"][0]["field"] == "query.what"
    assert "'import_accepted'" in unknown["errors"][0]["message"]
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["field"] == "header.X-Requested-By"
