"""What cloud_updater decides: values in, values out."""

from datetime import timedelta

import pytest

from schemas.events import TicketLinked
from services.cloud_updater.decisions import (
    Acknowledged,
    AfterPush,
    FolderMissing,
    Narrow,
    RejectFiles,
    TryLater,
    counts_as_asked_at,
    decide_after_push,
    newest_acknowledgements,
    newest_transfers,
)
from services.cloud_updater.on_ticket_linked import newest_links
from shared.outcome import (
    Done,
    Invalid,
    NoFolder,
    NoRoute,
    NothingDone,
    Outcome,
    RateLimited,
    Refused,
    TooLarge,
    Unauthorized,
    Unknown,
)
from shared.reading import Incoming
from tests.cloud_updater.given import NOON, a_link, a_transfer, an_update, records_of


@pytest.mark.parametrize(
    ("outcome", "decision"),
    [
        (Done({}), Acknowledged()),
        (NothingDone("no", 7), TryLater(7, may_take_effect=False, message="no")),
        (NothingDone("no"), TryLater(8, may_take_effect=False, message="no")),
        (RateLimited("slow", 7), TryLater(7, may_take_effect=False, message="slow")),
        (Unknown("what"), TryLater(8, may_take_effect=True, message="what")),
        (Unauthorized("who"), TryLater(8, may_take_effect=False, message="who")),
        (NoRoute("where"), TryLater(8, may_take_effect=False, message="where")),
        (NoFolder("gone"), FolderMissing("gone")),
        (TooLarge("big"), Narrow(5, "big")),
        (Refused("no"), Narrow(5, "no")),
        (Invalid("bad"), Narrow(5, "bad")),
        (Invalid("bad", {3: "size", 10: "nobody"}), RejectFiles({3: "size"})),
        (Invalid("bad", {10: "nobody"}), Narrow(5, "bad")),
    ],
)
def test_what_follows_from_the_third_failure_of_ten_files(outcome: Outcome, decision: AfterPush) -> None:
    jitter = 1.0 if getattr(outcome, "retry_after_s", None) is None else 0.0

    assert decide_after_push(outcome, files=10, attempts=2, probe=False, jitter=jitter) == decision


@pytest.mark.parametrize(("outcome", "wait_s"), [(Unauthorized("who"), 1), (NoRoute("where"), 60)])
def test_a_refused_probe_says_nothing_of_its_own_folder(outcome: Unauthorized | NoRoute, wait_s: float) -> None:
    decision = decide_after_push(outcome, files=10, attempts=20, probe=True, jitter=1.0)

    assert decision == TryLater(wait_s, may_take_effect=False, message=outcome.message)


@pytest.mark.parametrize("outcome", [TooLarge("big"), Refused("big"), Invalid("big")])
def test_a_file_that_stands_alone_is_the_one_to_blame(outcome: Outcome) -> None:
    assert decide_after_push(outcome, files=1, attempts=0, probe=False, jitter=0) == RejectFiles({0: "big"})


def test_the_newest_link_counts_whatever_the_order() -> None:
    first, second, third = (a_link("R1", version) for version in (1, 2, 3))

    newest = newest_links([came(third), came(a_link("R2", 1)), came(first), came(second)])

    assert [one.event for one in newest] == [third, a_link("R2", 1)]


def test_the_newest_transfer_counts_whatever_the_order() -> None:
    first, second = (a_transfer("R1", version) for version in (1, 2))

    assert newest_transfers([second, a_transfer("R2", 1), first]) == [second, a_transfer("R2", 1)]


def test_an_acknowledgement_of_a_newer_transfer_counts_more_than_one_of_a_newer_link() -> None:
    old, new = an_update("R1", 1, 9), an_update("R1", 2, 3)

    assert newest_acknowledgements([new, old]) == {"R1": (2, 3)}
    assert newest_acknowledgements([old, new, an_update("R2")]) == {"R1": (2, 3), "R2": (1, 1)}


def test_a_request_was_asked_for_at_most_when_the_broker_got_it() -> None:
    later = NOON + timedelta(hours=1)

    assert counts_as_asked_at(requested_at=NOON, appended_at=later) == NOON
    assert counts_as_asked_at(requested_at=later, appended_at=NOON) == NOON


def came(event: TicketLinked) -> Incoming[TicketLinked]:
    return Incoming(event, records_of(event)[0])
