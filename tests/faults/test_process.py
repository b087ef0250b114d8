"""The points of a test build are where the product claims, sends and records, as it does so today."""

from inspect import signature
from typing import Any, cast

from services.cloud_updater.push_tickets import NOT_SENT as NOT_PUSHED
from services.cloud_updater.push_tickets import PushTickets
from services.transfer.upload_recordings import NOT_SENT, UploadRecordings
from shared.cloud import Cloud
from shared.outcome import Done
from shared.producer import Producer
from tests.faults.process import SEAMS, Call, _pushed, _uploaded

ANYTHING = cast("Any", object())


def test_the_functions_that_are_wrapped_take_what_the_points_look_at() -> None:
    takes = {seam.name: list(signature(getattr(seam.owner, seam.name)).parameters) for seam in SEAMS}

    assert takes.keys() >= {"_store", "_claim", "post", "_record", "publish", "step"}
    assert list(signature(UploadRecordings._record).parameters) == ["self", "answered"]
    assert list(signature(PushTickets._record).parameters) == ["self", "ready", "decision"]
    assert list(signature(Cloud.post).parameters)[:3] == ["self", "call", "path"]
    assert list(signature(Producer.publish).parameters)[:2] == ["self", "records"]


def test_what_never_left_is_not_recorded() -> None:
    assert _uploaded(Call((ANYTHING, [(ANYTHING, NOT_SENT)]), {}), None) == ""
    assert _uploaded(Call((ANYTHING, [(ANYTHING, NOT_SENT), (ANYTHING, Done({}))]), {}), None) == "recorded"
    assert _pushed(Call((ANYTHING, ANYTHING, NOT_PUSHED), {}), None) == ""
