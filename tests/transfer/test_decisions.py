"""Which facts are news, when a folder is looked at, what goes into a request."""

from datetime import datetime, timedelta

from schemas.events import RecordingProcessed
from schemas.fields import CloudsUuid, RecordingId
from services.transfer.decisions import (
    KnownRecording,
    KnownTransfer,
    Place,
    Waits,
    decide_heard,
    decide_links,
    decide_looks,
    decide_news,
    decide_places,
    newest_of_each,
)
from services.transfer.lots import FILENAME_TAKEN, Lot, NoLot, Ready, Rest, decide_lot, decide_next_look
from services.transfer.upload_body import files_in
from tests.transfer.given import NOON, a_link, a_recording, a_transfer

WAITS = Waits(quiet=timedelta(seconds=0.2), grace=timedelta(seconds=1))
SECOND = timedelta(seconds=1)


def known_as(recording: RecordingProcessed, *, folded_at: datetime = NOON) -> dict[RecordingId, KnownRecording]:
    one = newest_of_each([recording])[recording.recording_id]
    return {recording.recording_id: KnownRecording(one.rank, recording.folder_id, folded_at)}


def a_ready(recording_id: str = "R1", **fields: object) -> Ready:
    one = Ready(
        recording_id=recording_id,  # type: ignore[arg-type]  # a NewType
        folder_name="Monday",
        filename=f"{recording_id}.wav",
        size_bytes=512,
        token=2,
        transcript="words",
        transfer_version=1,
        link_version=0,
        ticket_info=None,
        content_hash=b"",
    )
    return one._replace(**fields)  # type: ignore[arg-type]


def a_lot(*ready: Ready, **rules: object) -> Lot | NoLot:
    given: dict[str, object] = {"taken": {}, "clouds_uuid": None, "link_versions": True, "max_files": 500, **rules}
    return decide_lot(ready, **given)  # type: ignore[arg-type]


def test_of_the_facts_about_a_recording_the_highest_revision_is_the_newest_then_the_latest() -> None:
    old = a_recording(revision=1, processed_at=NOON + SECOND)
    new = a_recording(revision=2, processed_at=NOON)
    later = a_recording(revision=2, processed_at=NOON + SECOND)

    for order in ([old, new, later], [later, old, new], [new, later, old]):
        assert newest_of_each(order)["R1"].fact == later  # type: ignore[index]  # a NewType


def test_two_facts_that_claim_the_same_place_have_one_winner_in_every_order() -> None:
    one, other = a_recording(transcript="one"), a_recording(transcript="other")

    assert newest_of_each([one, other]) == newest_of_each([other, one])


def test_a_fact_that_is_known_is_no_news() -> None:
    fact, newer = a_recording(), a_recording(revision=2)

    assert decide_news(newest_of_each([fact]), known_as(fact)) == []
    assert decide_news(newest_of_each([fact]), known_as(newer)) == []
    assert [one.fact for one in decide_news(newest_of_each([newer]), known_as(fact))] == [newer]


def test_a_folder_is_looked_at_when_it_has_been_quiet_or_when_the_first_grace_is_over() -> None:
    news = decide_news(
        newest_of_each(
            [
                a_recording("R1", requires_ticket=True, folder_id="F1"),
                a_recording("R2", requires_ticket=True, folder_id="F2"),
                a_recording("R3", requires_ticket=False, folder_id="F2"),
                a_recording("R4", requires_ticket=True, folder_id="F3"),
            ]
        ),
        {},
    )

    looks = decide_looks(news, {}, with_ticket=frozenset({"R4"}), waits=WAITS, now=NOON)  # type: ignore[arg-type]

    quiet, grace = NOON + WAITS.quiet, NOON + WAITS.grace
    assert looks == {"F1": grace, "F2": quiet, "F3": quiet}


def test_the_grace_of_a_recording_begins_when_it_was_first_known() -> None:
    known = known_as(a_recording(requires_ticket=True), folded_at=NOON - SECOND)
    news = decide_news(newest_of_each([a_recording(requires_ticket=True, revision=2)]), known)

    assert decide_looks(news, known, with_ticket=frozenset(), waits=WAITS, now=NOON) == {"F1": NOON}


def test_the_folder_that_a_recording_leaves_is_locked_but_not_looked_at() -> None:
    known = known_as(a_recording(folder_id="F1"))
    news = decide_news(newest_of_each([a_recording(folder_id="F2", revision=2)]), known)

    looks = decide_looks(news, known, with_ticket=frozenset(), waits=WAITS, now=NOON)

    assert looks == {"F1": None, "F2": NOON + WAITS.quiet}


def test_only_the_newest_link_counts() -> None:
    links = [a_link("R1", 2), a_link("R1", 3), a_link("R1", 1), a_link("R2", 4)]

    assert decide_links(links, {"R2": 4}) == [a_link("R1", 3)]  # type: ignore[dict-item]  # a NewType


def test_an_own_fact_that_is_newer_is_taken_over_and_the_last_word_is_the_last_in_the_topic() -> None:
    known = {
        "R1": KnownTransfer(1, heard=True, folder_ids=frozenset({"F1", "F3"})),  # type: ignore[arg-type]
        "R2": KnownTransfer(2, heard=True, folder_ids=frozenset({"F1"})),  # type: ignore[arg-type]
    }

    heard = decide_heard([a_transfer("R1", 2), a_transfer("R1", 1), a_transfer("R2", 2)], known)  # type: ignore[arg-type]

    assert heard.newer == (a_transfer("R1", 2),)
    assert heard.folder_ids == {"F1", "F3"}
    assert heard.last_words == {"R1": 1}
    assert heard.behind


def test_an_own_fact_that_comes_back_is_heard_and_nothing_else() -> None:
    heard = decide_heard([a_transfer("R1", 1)], {"R1": KnownTransfer(1, heard=False, folder_ids=frozenset({"F1"}))})  # type: ignore[arg-type,dict-item]

    assert (heard.newer, heard.last_words, heard.behind) == ((), {"R1": 1}, False)


def test_a_new_folder_is_created_under_the_label_of_its_newest_recording() -> None:
    lot = a_lot(a_ready("R1", folder_name="Old"), a_ready("R2", folder_name="New"))

    assert isinstance(lot, Lot)
    assert (lot.kind, lot.clouds_uuid) == ("create", None)
    assert lot.body.startswith(b'{"folder":"New","files":[{"filename":"R1.wav"')


def test_a_folder_that_the_cloud_has_gets_its_files_injected() -> None:
    lot = a_lot(a_ready(), clouds_uuid="uuid-1")

    assert isinstance(lot, Lot)
    assert (lot.kind, lot.clouds_uuid) == ("inject", "uuid-1")


def test_a_request_has_at_most_so_many_files() -> None:
    lot = a_lot(*(a_ready(f"R{number}") for number in range(5)), max_files=3)

    assert isinstance(lot, Lot)
    assert [one.recording_id for one in lot.files] == ["R0", "R1", "R2"]


def test_a_request_has_at_most_4_MB_as_they_are_written_unless_one_file_alone_has_more() -> None:  # noqa: N802
    small, large = a_ready("R1", transcript="a" * 1_500_000), a_ready("R2", transcript='"' * 1_500_000)

    first, alone = a_lot(small, large), a_lot(large._replace(transcript='"' * 2_500_000), small)

    assert isinstance(first, Lot)
    assert isinstance(alone, Lot)
    assert [file["filename"] for file in files_in(first.body)] == ["R1.wav"]
    assert [file["filename"] for file in files_in(alone.body)] == ["R2.wav"]


def test_a_name_belongs_to_the_recording_that_has_it_in_the_cloud_else_to_the_first() -> None:
    ready = (a_ready("R1", filename="x"), a_ready("R2", filename="y"), a_ready("R3", filename="y"))

    lot = a_lot(*ready, taken={"x": "R0"})

    assert isinstance(lot, Lot)
    assert [one.recording_id for one in lot.files] == ["R2"]
    assert lot.rejected == {"R1": FILENAME_TAKEN, "R3": FILENAME_TAKEN}


def test_a_recording_that_is_uploaded_again_keeps_its_own_name() -> None:
    lot = a_lot(a_ready("R1", filename="x", transfer_version=2), taken={"x": "R1"})

    assert isinstance(lot, Lot)
    assert lot.rejected == {}


def test_where_all_names_are_taken_there_is_no_request() -> None:
    assert a_lot(a_ready("R1", filename="x"), taken={"x": "R0"}) == NoLot({"R1": FILENAME_TAKEN})  # type: ignore[dict-item]


def test_a_folder_from_which_nothing_goes_is_looked_at_when_something_may() -> None:
    nothing, waiting = Rest(None, frozen_elsewhere=False), Rest(NOON, frozen_elsewhere=False)
    moved = Rest(None, frozen_elsewhere=True)

    assert decide_next_look(nothing, more=False, waits=WAITS, now=NOON) is None
    assert decide_next_look(nothing, more=True, waits=WAITS, now=NOON) == NOON
    assert decide_next_look(waiting, more=False, waits=WAITS, now=NOON) == NOON + WAITS.grace
    assert decide_next_look(moved, more=False, waits=WAITS, now=NOON) == NOON + timedelta(seconds=10)


def test_the_last_transfer_into_a_folder_says_where_it_is() -> None:
    earlier = a_transfer("R1", 1, clouds_uuid="uuid-1", transferred_at=NOON)
    later = a_transfer("R2", 1, clouds_uuid="uuid-2", transferred_at=NOON + SECOND)
    lost_since = {"F1": Place(None, NOON + SECOND * 2)}

    for order in ([earlier, later], [later, earlier]):
        assert decide_places(order, {}) == {"F1": Place(CloudsUuid("uuid-2"), NOON + SECOND)}
        assert decide_places(order, lost_since) == {}  # type: ignore[arg-type]  # a NewType
