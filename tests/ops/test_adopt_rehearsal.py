"""A dry run of adopt judges every line as the real run does, wherever the file is cut into lots."""

import asyncio
from collections.abc import Sequence
from copy import deepcopy

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ops.adopt_rehearsal import Rehearsal
from ops.answers.adopted import AdoptedRecording
from schemas.adopted import Adopted
from schemas.fields import FolderId, RecordingId
from services.transfer.adopting import Known, KnownFile, decide_adoption
from services.transfer.api_adopt import _answer

PROCESSED = KnownFile(FolderId("F1"), "a.wav", 1, 1, "words")


def said(recording_id: str = "R1", **fields: object) -> Adopted:
    whole = {"folder_id": "F1", "clouds_uuid": "U1", "filename": f"{recording_id}.wav", "size": "1 KB", "token": 3}
    return Adopted.model_validate({"recording_id": recording_id, "transcript": "words", **whole, **fields})


def by_transfer(lot: Sequence[Adopted], known: Known) -> list[AdoptedRecording]:
    answers = [_answer(one.recording_id, decide_adoption(one, known)) for one in lot]
    return [AdoptedRecording(**one.model_dump()) for one in answers]


def real(lots: Sequence[Sequence[Adopted]], known: Known) -> list[AdoptedRecording]:
    return [one for lot in lots for one in by_transfer(lot, known)]


def rehearsed(lots: Sequence[Sequence[Adopted]], known: Known) -> list[AdoptedRecording]:
    """As the command does it: each lot is forgotten by transfer."""
    rehearsal = Rehearsal()

    async def ask(asked: Sequence[Adopted]) -> Sequence[AdoptedRecording]:
        return by_transfer(asked, deepcopy(known))

    async def judge() -> list[AdoptedRecording]:
        return [one for lot in lots for one in await rehearsal.judge(lot, ask)]

    return asyncio.run(judge())


@pytest.mark.parametrize(
    ("earlier", "later", "outcome", "reason"),
    [
        (said("R1"), said("R1"), "already", None),
        (said("R1"), said("R1", filename=None), "already", None),
        (said("R1"), said("R1", filename="other.wav"), "conflict", "already_elsewhere"),
        (said("R1"), said("R1", clouds_uuid="U2"), "conflict", "already_elsewhere"),
        (said("R1"), said("R2", filename="R1.wav"), "conflict", "filename_taken"),
        (said("R1"), said("R2", clouds_uuid="U2"), "conflict", "folder_elsewhere"),
        (said("R1"), said("R2", folder_id="F2"), "conflict", "uuid_taken"),
        (said("R1", filename="a.wav"), said("P", filename=None), "conflict", "filename_taken"),
        (said("R1"), said("R2"), "adopted", None),
    ],
    ids=str,
)
def test_a_line_is_judged_by_what_an_earlier_lot_said(
    earlier: Adopted, later: Adopted, outcome: str, reason: str | None
) -> None:
    known = Known(files={RecordingId("P"): PROCESSED, RecordingId("R1"): KnownFile(filename="R1.wav")})

    dry = rehearsed([[earlier], [later]], known)[1]
    wet = real([[earlier], [later]], known)[1]

    assert (dry.outcome, dry.reason) == (wet.outcome, wet.reason) == (outcome, reason)


lines = st.builds(
    said,
    st.sampled_from(["R1", "R2", "R3", "P"]),
    folder_id=st.sampled_from(["F1", "F2"]),
    clouds_uuid=st.sampled_from(["U1", "U2"]),
    filename=st.sampled_from(["a.wav", "b.wav", "c.wav", None]),
)


@example(
    [
        [said("R1", filename="a.wav")],
        [said("P", filename=None), said("P", filename="c.wav"), said("R2", filename="c.wav")],
    ]
)
@given(st.lists(st.lists(lines, min_size=1, max_size=4), max_size=4))
def test_whatever_the_file_says_the_dry_run_tells_what_the_real_one_does(lots: list[list[Adopted]]) -> None:
    known = Known(files={RecordingId("P"): PROCESSED})

    dry = rehearsed(lots, known)
    wet = real(lots, deepcopy(known))

    assert [one.outcome for one in dry] == [one.outcome for one in wet]
