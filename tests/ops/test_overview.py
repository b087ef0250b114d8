"""What is said of a way to the cloud that is stopped."""

import pytest

from ops.answers.status import CloudUpdaterStatus, LaneState
from ops.overview import Overview


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("paused", "ticketsync resume cloud-updater"),
        ("unauthorized", "CLOUDS_TOKEN_FILE"),
        ("circuit_open", "once the cloud answers"),
    ],
)
def test_what_lets_it_go_on_is_said_with_its_reason(reason: str, said: str) -> None:
    lane = LaneState(open=False, reason=reason, message="401: no")
    seen = Overview(None, None, CloudUpdaterStatus(blocked={}, dead_letters=0, owed=0, lane=lane))

    [line] = seen.stopped_lanes

    assert line.startswith(f"cloud-updater: the way to the cloud is stopped: {reason}, 401: no. ")
    assert said in line
