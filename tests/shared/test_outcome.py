"""What an answer of the cloud proves: the table, row by row; and nothing that it holds makes it fail."""

from collections.abc import Mapping
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.backoff import backoff_s
from shared.outcome import (
    Answer,
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
    classify,
)

NOON = datetime(2025, 1, 29, 12, 0, tzinfo=UTC)


def outcome(
    status: int,
    body: object = None,
    *,
    repeatable: bool = True,
    empty: bool = False,
    headers: Mapping[str, str] | None = None,
) -> Outcome:
    return classify(Answer(status, headers or {}, body, empty), repeatable=repeatable, now=NOON)


@pytest.mark.parametrize(
    ("status", "body", "pushed", "uploaded"),
    [
        (200, {"status": 200, "message": "Successfuly!"}, Done, Done),
        (200, {"errors": [], "message": "ok"}, Done, Done),
        (200, {"error": "no"}, Unknown, Unknown),
        (200, {"errors": {"files.0": ["no"]}}, Unknown, Unknown),
        (202, [], Done, Unknown),
        (200, None, Unknown, Unknown),  # HTML
        (301, None, Unknown, Unknown),
        (302, None, Unknown, Unknown),
        (400, {"message": "Recording not found"}, NoFolder, NoFolder),
        (400, {"message": "Bad"}, Refused, Refused),
        (401, {"status": "unathorized"}, Unauthorized, Unauthorized),
        (403, None, Unauthorized, Unauthorized),
        (404, {"message": "The route x could not be found."}, NoRoute, NoRoute),
        (405, None, NoRoute, NoRoute),
        (408, None, NothingDone, Unknown),
        (409, {"message": "Idempotency-Key in use"}, Unknown, Unknown),
        (413, None, TooLarge, TooLarge),
        (418, None, Refused, Refused),
        (422, {"message": "Idempotency-Key reused"}, Unknown, Unknown),
        (422, {"message": "Invalid"}, Invalid, Invalid),
        (425, None, NothingDone, Unknown),
        (429, None, RateLimited, RateLimited),
        (500, {"message": "Server Error"}, NothingDone, Unknown),
        (501, None, NothingDone, Unknown),
        (502, None, Unknown, Unknown),
        (503, None, NothingDone, NothingDone),
        (504, None, Unknown, Unknown),
        (520, None, Unknown, Unknown),
    ],
)
def test_what_each_status_proves(status: int, body: object, pushed: type[Outcome], uploaded: type[Outcome]) -> None:
    assert type(outcome(status, body, repeatable=True)) is pushed
    assert type(outcome(status, body, repeatable=False)) is uploaded


def test_an_empty_success_is_one_only_for_what_may_be_repeated() -> None:
    assert outcome(204, empty=True) == Done({})
    assert isinstance(outcome(204, empty=True, repeatable=False), Unknown)


@pytest.mark.parametrize(
    ("headers", "body", "wait_s"),
    [
        ({"retry-after": "7"}, None, 7),
        ({"retry-after": " 7 "}, None, 7),
        ({"retry-after": "0"}, None, 0),
        ({"retry-after": "0.5"}, None, 0.5),
        ({"retry-after": "86400"}, None, 900),
        ({"retry-after": "9" * 400}, None, 900),
        ({"retry-after": "Wed, 29 Jan 2025 12:00:30 GMT"}, None, 30),
        ({"retry-after": "Wed, 29 Jan 2025 13:00:30 +0100"}, None, 30),
        ({"retry-after": "Wed, 29 Jan 2025 11:00:00 GMT"}, None, 0),
        ({"retry-after": "Wed, 29 Jan 2026 11:00:00 GMT"}, None, 900),
        ({"retry-after": "soon"}, {"retry_after": 12}, 12),
        ({"retry-after": "-3"}, {"retry_after": 12}, 12),
        ({}, {"retry_after": "12"}, 12),
        ({}, {"retry_after": 1.5}, 1.5),
        ({}, {"retry_after": 10**400}, 900),
        ({}, {"retry_after": -1}, None),
        ({}, {"retry_after": float("nan")}, None),
        ({}, {"retry_after": float("inf")}, 900),
        ({}, {"retry_after": True}, None),
        ({}, {"retry_after": {"seconds": 3}}, None),
        ({"retry-after": "Wed, 29 Jan 99999 11:00:00 GMT"}, None, None),
        ({"retry-after": ""}, None, None),
        ({}, [12], None),
    ],
)
@pytest.mark.parametrize("status", [429, 503, 500])
def test_how_long_the_cloud_asks_to_wait(
    status: int, headers: dict[str, str], body: object, wait_s: float | None
) -> None:
    found = outcome(status, body, headers=headers)

    assert isinstance(found, NothingDone)
    assert found.retry_after_s == wait_s


def test_the_files_that_a_refusal_names_are_found_by_their_places() -> None:
    errors = {
        "files.0.token": ["must be an integer", "and small"],
        "files.0.size": ["a second one"],
        "files.12.ticket_info.ticket_id": "too long",
        "files.3": [],
        "files.x.token": ["nowhere"],
        "folder": ["required"],
    }

    assert outcome(422, {"message": "Invalid", "errors": errors}) == Invalid(
        "422: Invalid",
        {0: "token: must be an integer", 12: "ticket_info.ticket_id: too long", 3: "file: is not accepted"},
    )


@pytest.mark.parametrize(
    "errors", [None, [], "files.0", {"files.0.token": ["x"]}.items(), {"files.00000000": ["x"]}, 7]
)
def test_a_refusal_that_names_no_file_is_one_all_the_same(errors: object) -> None:
    assert outcome(422, {"message": "Invalid", "errors": errors}) == Invalid("422: Invalid", {})


def test_messages_can_be_stored_and_shown_whatever_they_hold() -> None:
    nasty = "a\x00b\ud800c\nd" + "e" * 1_000

    found = [outcome(status, {"message": nasty}) for status in (400, 401, 429, 500)]
    named = outcome(422, {"message": nasty, "errors": {f"files.0.{nasty}": [nasty]}})

    assert isinstance(named, Invalid)
    for one in [*found, named]:
        assert one.message[5:14] == "a b?c dee"  # type: ignore[union-attr]  # all of these have one
        assert len(one.message) <= 305  # type: ignore[union-attr]
    assert "\x00" not in named.errors[0]
    named.errors[0].encode()


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
bodies = json_values | st.fixed_dictionaries(
    {},
    optional={
        "message": json_values | st.sampled_from(["Recording not found", "Idempotency-Key reused"]),
        "errors": json_values
        | st.dictionaries(st.from_regex(r"files\.[0-9]{1,3}(\.[a-z]+)?"), json_values, max_size=4),
        "retry_after": json_values,
        "status": json_values,
        "error": json_values,
    },
)


@given(
    status=st.integers(200, 599),
    body=bodies,
    retry_after=st.none()
    | st.text()
    | st.from_regex(r"[A-Z][a-z]{2}, [0-9]{1,2} [A-Z][a-z]{2} [0-9]{1,6} [0-9:]{1,9} .*"),
    repeatable=st.booleans(),
    empty=st.booleans(),
)
def test_no_answer_makes_it_fail(
    *, status: int, body: object, retry_after: str | None, repeatable: bool, empty: bool
) -> None:
    headers = {} if retry_after is None else {"retry-after": retry_after}

    found = outcome(status, body, repeatable=repeatable, empty=empty, headers=headers)

    if not 200 <= status < 300:
        assert not isinstance(found, Done)
    if isinstance(found, NothingDone | Unknown) and found.retry_after_s is not None:
        assert 0 <= found.retry_after_s <= 900


@given(attempts=st.integers(1, 10_000), jitter=st.floats(0, 1), asked_s=st.none() | st.floats(0, 900))
def test_a_wait_is_between_one_second_and_a_quarter_of_an_hour(
    attempts: int, jitter: float, asked_s: float | None
) -> None:
    wait_s = backoff_s(attempts, asked_s=asked_s, jitter=jitter)

    if asked_s is None or asked_s < 1:
        assert 1 <= wait_s <= min(900, 2.0 ** min(attempts, 20))
    else:
        assert asked_s <= wait_s <= asked_s * 1.1


@pytest.mark.parametrize("asked_s", [0.0, 0.5])
def test_a_cloud_that_asks_for_no_wait_is_left_alone_longer_each_time(asked_s: float) -> None:
    waits = [backoff_s(attempts, asked_s=asked_s, jitter=1.0) for attempts in (1, 2, 3, 20)]

    assert waits == [2, 4, 8, 900]
