"""When waiting is over."""

import pytest

from ops.answers import Blocked, State
from ops.answers.reading import Position, Positions
from ops.answers.status import CloudUpdaterStatus, LaneState, LinkerStatus, TransferStatus
from ops.overview import Whole
from ops.settled import behind, judge

OPEN = LaneState(open=True)


def seen(
    *,
    states: dict[State, int] | None = None,
    before_upload: dict[Blocked, int] | None = None,
    after_upload: dict[Blocked, int] | None = None,
    owed: int = 0,
    working: int = 0,
    uploading: int = 0,
) -> Whole:
    return Whole(
        LinkerStatus(recordings=10, states=states or {}, parked=0, dead_letters=0, working=working),
        TransferStatus(blocked=before_upload or {}, dead_letters=0, working=uploading, lane=OPEN),
        CloudUpdaterStatus(blocked=after_upload or {}, dead_letters=0, owed=owed, lane=OPEN),
    )


def test_all_is_settled_when_nothing_is_left() -> None:
    states: dict[State, int] = {"in_sync": 5, "waiting_for_ticket": 3, "no_ticket_needed": 2, "pending": 0}
    assert judge(seen(states=states)) == "settled"


def test_a_forced_push_is_waited_for_although_all_is_in_sync() -> None:
    assert judge(seen(states={"in_sync": 10}, owed=4)) == "working"


def test_an_import_is_waited_for() -> None:
    assert judge(seen(states={"in_sync": 10}, working=1)) == "working"


@pytest.mark.parametrize("reason", ["rejected", "outcome_unknown", "missing_in_cloud"])
def test_waiting_ends_when_all_that_is_left_needs_a_person(reason: Blocked) -> None:
    assert judge(seen(states={"not_transferred": 2, "in_sync": 8}, before_upload={reason: 2})) == "stuck"
    assert judge(seen(states={"pending": 2, "in_sync": 8}, after_upload={reason: 2})) == "stuck"


def test_what_is_tried_again_by_itself_is_waited_for() -> None:
    assert judge(seen(states={"pending": 2}, after_upload={"retrying": 2})) == "working"
    assert judge(seen(states={"pending": 3}, after_upload={"rejected": 2, "retrying": 1})) == "working"


def test_an_upload_of_what_the_cloud_has_lost_is_waited_for_although_all_was_in_sync() -> None:
    assert judge(seen(states={"in_sync": 10}, uploading=1)) == "working"
    assert judge(seen(states={"in_sync": 10}, uploading=1, before_upload={"retrying": 1})) == "working"
    assert judge(seen(states={"in_sync": 10}, before_upload={"outcome_unknown": 1})) == "stuck"


def test_a_rejected_link_does_not_hide_an_upload_that_is_under_way() -> None:
    assert judge(seen(states={"not_transferred": 1, "pending": 1}, after_upload={"rejected": 2})) == "working"


def test_a_forced_push_to_a_folder_that_the_cloud_has_lost_needs_a_person() -> None:
    assert judge(seen(states={"in_sync": 10}, after_upload={"missing_in_cloud": 3})) == "stuck"


def test_a_service_is_behind_by_what_it_has_not_folded_of_its_own_topics() -> None:
    ends = {("RecordingProcessed", 0): 10, ("RecordingProcessed", 1): 4, ("CloudTicketUpdated", 0): 7}
    positions = Positions(
        positions=[
            Position(topic="RecordingProcessed", partition=0, next_offset=8),
            Position(topic="RecordingProcessed", partition=1, next_offset=6),
        ]
    )

    assert behind("transfer", positions, ends) == 2
    assert behind("linker", positions, ends) == 9
