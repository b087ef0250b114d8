"""What an answer of the cloud means, and an operator's word."""

from dataclasses import replace
from datetime import timedelta

import pytest

from schemas.fields import CloudsUuid, RecordingId
from services.transfer.answers import (
    Conclusion,
    FolderMissing,
    Hold,
    HoldRequest,
    Narrow,
    Release,
    Repeat,
    SendAgain,
    Sent,
    Transferred,
    decide_conclusion,
    decide_unrecorded_outcome,
)
from services.transfer.operators_word import GIVEN_UP, Unfit, decide_answer
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
from tests.transfer.given import NOON

IDS = (RecordingId("R1"), RecordingId("R2"), RecordingId("R3"))
CREATED = Sent(
    kind="create",
    clouds_uuid=None,
    recording_ids=IDS,
    keys_honoured=True,
    first_sent_at=NOON,
    repeated=False,
    failures=0,
    max_files=500,
    probe=False,
)
INJECTED = replace(CREATED, kind="inject", clouds_uuid=CloudsUuid("uuid-1"))


def concluded(outcome: Outcome, sent: Sent = CREATED, *, resend_unknown: bool = False, hours: float = 0) -> Conclusion:
    return decide_conclusion(
        outcome, sent, resend_unknown=resend_unknown, jitter=0.5, now=NOON + timedelta(hours=hours)
    )


def test_a_create_that_names_its_folder_is_done() -> None:
    assert concluded(Done({"data": {"uuid": "abc="}})) == Transferred(CloudsUuid("abc="), 500)


@pytest.mark.parametrize(
    "data", [{}, {"data": None}, {"data": {}}, {"data": {"uuid": ""}}, {"data": {"uuid": 7}}, {"data": {"uuid": "\0"}}]
)
def test_a_create_that_does_not_name_its_folder_proves_nothing(data: dict[str, object]) -> None:
    assert isinstance(concluded(Done(data)), Repeat)
    assert isinstance(concluded(Done(data), replace(CREATED, keys_honoured=False)), HoldRequest)


def test_a_uuid_that_cannot_be_stored_is_none() -> None:
    assert isinstance(concluded(Done({"data": {"uuid": "\ud800"}})), Repeat)
    assert isinstance(concluded(Done({"data": {"uuid": "x" * 501}})), Repeat)


def test_an_inject_is_done_if_it_says_so() -> None:
    assert concluded(Done({"status": 200}), INJECTED) == Transferred(CloudsUuid("uuid-1"), 500)
    assert isinstance(concluded(Done({"login": "here"}), INJECTED), Repeat)


def test_success_widens_what_a_refusal_has_narrowed() -> None:
    assert concluded(Done({"status": 200}), replace(INJECTED, max_files=3)) == Transferred(CloudsUuid("uuid-1"), 6)


def test_an_unknown_outcome_is_repeated_while_the_cloud_remembers_the_key() -> None:
    assert concluded(Unknown("reset", retry_after_s=None)) == Repeat("reset", 1.5)
    assert concluded(Unknown("reset"), hours=25) == HoldRequest("reset", Hold("key_expired"))


def test_an_unknown_outcome_is_held_where_keys_are_not_honoured_unless_resending_was_chosen() -> None:
    keyless = replace(CREATED, keys_honoured=False)

    assert concluded(Unknown("reset"), keyless) == HoldRequest("reset", Hold("keys_not_honoured"))
    assert isinstance(concluded(Unknown("reset"), keyless, resend_unknown=True), Repeat)


@pytest.mark.parametrize(
    ("outcome", "wait_s"),
    [
        (NothingDone("503"), 1.5),
        (NothingDone("503", retry_after_s=0.0), 1.5),
        (RateLimited("429", retry_after_s=60.0), 0),
        (Unauthorized("401"), 1.5),
        (NoRoute("404"), 1.5),
    ],
)
def test_what_did_nothing_frees_its_recordings_but_not_if_it_was_a_repeat(outcome: Outcome, wait_s: float) -> None:
    first, second = concluded(outcome), concluded(outcome, replace(CREATED, repeated=True))

    assert isinstance(first, Release)
    assert first.wait_s == wait_s
    assert isinstance(second, Repeat)


@pytest.mark.parametrize("outcome", [Unauthorized("403"), NoRoute("404")])
def test_what_is_refused_alone_waits_longer_each_time_and_a_refused_probe_not_at_all(
    outcome: Unauthorized | NoRoute,
) -> None:
    often, probe = replace(CREATED, failures=5), replace(CREATED, failures=5, probe=True)

    assert concluded(outcome, often) == Release(outcome.message, 32.5)
    assert concluded(outcome, probe) == Release(outcome.message, 0)


@pytest.mark.parametrize(
    "outcome", [NoFolder("no"), Invalid("no", {0: "bad"}), Invalid("no"), TooLarge("no"), Refused("no")]
)
@pytest.mark.parametrize("keys_honoured", [True, False])
@pytest.mark.parametrize("resend_unknown", [True, False])
@pytest.mark.parametrize("sent", [CREATED, INJECTED])
def test_a_repeat_that_is_refused_frees_nothing(
    outcome: Outcome, sent: Sent, *, keys_honoured: bool, resend_unknown: bool
) -> None:
    repeat = replace(sent, repeated=True, keys_honoured=keys_honoured)

    held = concluded(outcome, repeat, resend_unknown=resend_unknown)

    assert held == HoldRequest("no", Hold("repeat_refused"))
    assert held.in_words == "no; this refuses a repeat, the first sending may have had its effect"


def test_waits_grow_with_the_failures_up_to_fifteen_minutes() -> None:
    waits = [concluded(NothingDone("503"), replace(CREATED, failures=failures)) for failures in (0, 3, 50)]

    assert [wait.wait_s for wait in waits if isinstance(wait, Release)] == [1.5, 8.5, 450.5]


def test_a_lost_folder_waits_for_an_operator_and_only_an_inject_can_find_that_out() -> None:
    assert concluded(NoFolder("400"), INJECTED) == FolderMissing("400")
    assert concluded(NoFolder("400")) == Narrow("400", {}, 1)


def test_files_that_the_cloud_names_are_rejected() -> None:
    assert concluded(Invalid("422", {1: "token: no", 9: "nobody"})) == Narrow("422", {IDS[1]: "token: no"}, 500)


@pytest.mark.parametrize("outcome", [Invalid("no", {}), Invalid("no", {9: "nobody"}), TooLarge("no"), Refused("no")])
def test_a_refusal_that_names_no_file_is_halved_until_one_is_alone(outcome: Outcome) -> None:
    assert concluded(outcome) == Narrow("no", {}, 1)
    assert concluded(outcome, replace(CREATED, recording_ids=IDS[:1])) == Narrow("no", {IDS[0]: "no"}, 500)


def test_an_upload_whose_key_the_cloud_may_have_forgotten_is_held() -> None:
    decision = decide_unrecorded_outcome(
        keys_honoured=True, first_sent_at=NOON, resend_unknown=False, now=NOON + timedelta(hours=25)
    )

    assert decision == Hold("key_expired")


def test_an_upload_whose_key_the_cloud_knows_is_sent_again() -> None:
    decision = decide_unrecorded_outcome(
        keys_honoured=True, first_sent_at=NOON, resend_unknown=False, now=NOON + timedelta(hours=23)
    )

    assert decision == SendAgain()


def test_an_operator_names_the_folder_that_was_made_or_confirms_the_one_that_was_there() -> None:
    uuid, other = CloudsUuid("uuid-1"), CloudsUuid("uuid-2")

    assert decide_answer("exists_as", sent_to=None, exists_as=uuid, recording_ids=IDS) == Transferred(uuid, 500)
    assert decide_answer("exists_as", sent_to=uuid, exists_as=None, recording_ids=IDS) == Transferred(uuid, 500)
    assert isinstance(decide_answer("exists_as", sent_to=None, exists_as=None, recording_ids=IDS), Unfit)
    assert isinstance(decide_answer("exists_as", sent_to=uuid, exists_as=other, recording_ids=IDS), Unfit)


def test_an_operator_gives_up_or_sends_again() -> None:
    given_up = decide_answer("give_up", sent_to=None, exists_as=None, recording_ids=IDS)
    again = decide_answer("send_again", sent_to=None, exists_as=None, recording_ids=IDS)

    assert given_up == Narrow("an operator gave up", dict.fromkeys(IDS, GIVEN_UP), 500, newer_too=True)
    assert again == Release("an operator said: send again", 0)
