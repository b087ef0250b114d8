"""The watch over a run finds what it is to find."""

from typing import Any, cast

import pytest

from tests.faults.watch import Watch

UUID, FILE = "uuid", "1.wav"


@pytest.fixture
def watch() -> Watch:
    """Of a recording that was linked, and then unlinked."""
    made = Watch(cast("Any", None))
    made._names["R"] = FILE
    made._links |= {("R", 1): "T-1", ("R", 2): None, ("R", 3): "T-3", ("R", 4): None}
    return made


def _judged(watch: Watch, *versions: int) -> list[str]:
    for version in versions:
        watch._judge("CloudTicketUpdated", {"recording_id": "R", "link_version": version, "clouds_uuid": UUID})
    return watch.broken


def test_what_the_cloud_has_shown_in_this_order_may_be_acknowledged(watch: Watch) -> None:
    watch._shown[UUID, FILE] = [None, "T-1", "T-1", None, "T-3", None]

    assert _judged(watch, 0, 1, 2, 3, 4, 2, 1) == []


def test_a_ticket_that_was_never_shown_must_not_be(watch: Watch) -> None:
    watch._shown[UUID, FILE] = [None, "T-1"]

    assert len(_judged(watch, 3)) == 1


@pytest.mark.parametrize("version", [2, 4])
def test_an_unlink_of_which_the_cloud_was_not_told_must_not_be(watch: Watch, version: int) -> None:
    """Although the file was without a ticket once."""
    watch._shown[UUID, FILE] = [None, "T-1", None, "T-3"][: version or None]

    assert _judged(watch, version - 1) == []
    assert len(_judged(watch, version)) == 1


def test_versions_that_were_skipped_are_not_missed(watch: Watch) -> None:
    watch._shown[UUID, FILE] = [None, "T-3"]

    assert _judged(watch, 0, 3) == []
