"""Recordings that the cloud is said to have: which are taken over, and what speaks against the others."""

import pytest

from schemas.adopted import Adopted
from schemas.fields import FolderId
from services.transfer.adopting import Adopt, Already, Conflict, Known, KnownFile, KnownFolder, decide_adoption
from tests.emulator.running import Emulator
from tests.transfer.api import an_api
from tests.transfer.given import a_recording
from tests.transfer.running import files_in_cloud, running_transfer


def said(recording_id: str = "R1", **fields: object) -> Adopted:
    whole = {"folder_id": "F1", "clouds_uuid": "U1", "filename": f"{recording_id}.wav", "size": "1 KB", "token": 3}
    return Adopted.model_validate({"recording_id": recording_id, "transcript": "words", **whole, **fields})


def bare(recording_id: str = "R1") -> Adopted:
    return Adopted.model_validate({"recording_id": recording_id, "folder_id": "F1", "clouds_uuid": "U1"})


PROCESSED = KnownFile(FolderId("F1"), "R1.wav", 2_621_440, 7, "processed words")


def test_what_nobody_knows_is_taken_over_as_it_is_said() -> None:
    done = decide_adoption(said(), Known())

    assert isinstance(done, Adopt)
    assert done.file.model_dump() == {"filename": "R1.wav", "size": "1 KB", "token": 3, "transcribe": "words"}


def test_what_is_left_out_is_what_was_processed_and_what_is_said_counts_more() -> None:
    left_out = decide_adoption(bare(), Known(files={"R1": PROCESSED}))  # type: ignore[dict-item]
    in_part = decide_adoption(said(size=None, size_bytes=2048), Known(files={"R1": PROCESSED}))  # type: ignore[dict-item]

    assert isinstance(left_out, Adopt)
    assert (left_out.file.size, left_out.file.token, left_out.file.transcribe) == ("2.5 MB", 7, "processed words")
    assert isinstance(in_part, Adopt)
    assert (in_part.file.size, in_part.file.token) == ("2 KB", 3)


@pytest.mark.parametrize(
    ("known", "why"),
    [
        (Known(files={"R1": KnownFile(transferred_to=("F1", "U2", "R1.wav"))}), "already_elsewhere"),  # type: ignore[dict-item,arg-type]
        (Known(files={"R1": KnownFile(transferred_to=("F1", "U1", "other.wav"))}), "already_elsewhere"),  # type: ignore[dict-item,arg-type]
        (Known(files={"R1": KnownFile("F2")}), "other_folder"),  # type: ignore[dict-item,arg-type]
        (Known(folders={"F1": KnownFolder("U2")}), "folder_elsewhere"),  # type: ignore[dict-item,arg-type]
        (Known(folders={"F1": KnownFolder(busy=True)}), "busy"),  # type: ignore[dict-item]
        (Known(uuids={"U1": "F2"}), "uuid_taken"),  # type: ignore[dict-item]
        (Known(names={("F1", "R1.wav"): "R2"}), "filename_taken"),  # type: ignore[dict-item]
    ],
    ids=str,
)
def test_what_contradicts_what_is_known_is_a_conflict(known: Known, why: str) -> None:
    done = decide_adoption(said(), known)

    assert isinstance(done, Conflict)
    assert done.why == why


def test_what_nobody_has_said_is_named() -> None:
    done = decide_adoption(bare(), Known())

    assert done == Conflict(
        "incomplete", "no RecordingProcessed says its filename, size, token, transcript, so the line has to"
    )


def test_those_before_it_in_the_lot_are_known() -> None:
    known = Known()

    done = [
        decide_adoption(one, known)
        for one in (
            said("R1"),
            said("R1"),
            said("R2", filename="R1.wav"),
            said("R3", clouds_uuid="U2"),
            said("R4", folder_id="F2"),
        )
    ]

    assert [type(one) for one in done] == [Adopt, Already, Conflict, Conflict, Conflict]
    assert [one.why for one in done if isinstance(one, Conflict)] == [
        "filename_taken",
        "folder_elsewhere",
        "uuid_taken",
    ]


def line(recording_id: str, **fields: object) -> dict[str, object]:
    return said(recording_id, **fields).model_dump(exclude_none=True)


async def test_what_is_adopted_is_not_uploaded_and_a_dry_run_changes_nothing(
    transfer_url: str, deployed: Emulator
) -> None:
    async with running_transfer(transfer_url, deployed) as transfer:
        await transfer.fold(a_recording("R1"))
        body = {"recordings": [line("R1"), line("R2"), line("R3", filename="R2.wav")]}

        async with an_api(transfer) as api:
            tried = (await api.post("/adoptions", json={**body, "dry_run": True})).json()
            untouched = await transfer.rows("select recording_id from transfer")
            done = (await api.post("/adoptions", json=body, headers={"X-Requested-By": "ann"})).json()
            again = (await api.post("/adoptions", json=body)).json()
            wrong = await api.post("/adoptions", json={"recordings": [{**line("R4"), "token": "x"}]})
        await transfer.waits_are_over()
        await transfer.upload()

        assert tried == done
        assert untouched == []
        assert [one["outcome"] for one in done["items"]] == ["adopted", "adopted", "conflict"]
        assert [one["outcome"] for one in again["items"]] == ["already", "already", "conflict"]
        assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (422, "recordings.0.token")
        assert files_in_cloud(deployed) == []
        rows = await transfer.rows(
            "select recording_id, link_version from transfer join unheard_transfer using (recording_id) order by 1"
        )
        assert rows == [{"recording_id": one, "link_version": 0} for one in ("R1", "R2")]
        audit = await transfer.rows("select who, what, subject, detail from audit")
        assert audit == [
            {
                "who": "ann",
                "what": "recordings_adopted",
                "subject": "F1",
                "detail": {"clouds_uuid": "U1", "recordings": 2},
            }
        ]


async def test_a_folder_of_which_an_upload_is_uncertain_is_busy(transfer_url: str, deployed: Emulator) -> None:
    async with running_transfer(transfer_url, deployed) as transfer:
        deployed.arm(route="create", kind="close_after_effect")
        await transfer.fold(a_recording("R1"))
        await transfer.waits_are_over()
        await transfer.upload()

        async with an_api(transfer) as api:
            done = (await api.post("/adoptions", json={"recordings": [line("R1"), line("R2")]})).json()

        assert [one["reason"] for one in done["items"]] == ["busy", "busy"]


async def test_what_was_adopted_and_lost_in_the_cloud_is_uploaded_again_once_it_has_been_processed(
    transfer_url: str, deployed: Emulator
) -> None:
    async with running_transfer(transfer_url, deployed) as transfer:
        await transfer.fold(a_recording("R1"))
        async with an_api(transfer) as api:
            await api.post("/adoptions", json={"recordings": [line("R1"), line("R2")]})
            path, lost = "/folders/F1/upload-again", {"clouds_uuid": "U1"}
            refused = await api.post(path, json=lost)
            folder = (await api.get("/folders/F1")).json()
            await transfer.fold(a_recording("R2"))
            processed = (await api.get("/folders/F1")).json()
            answer = await api.post(path, json=lost)
        await transfer.waits_are_over()
        await transfer.upload()

        assert (refused.status_code, refused.json()["title"]) == (409, "Not processed")
        assert (refused.json()["recordings"], refused.json()["recording_id"]) == (1, "R2")
        assert (folder["clouds_uuid"], folder["unprocessed"], processed["unprocessed"]) == ("U1", 1, 0)
        assert answer.json() == {"recordings": 2}
        assert files_in_cloud(deployed) == [("Monday", "R1.wav"), ("Monday", "R2.wav")]
