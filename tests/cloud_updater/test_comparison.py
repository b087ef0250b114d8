"""What a folder shows against what it should: every verdict, by hand."""

import pytest

from services.cloud_updater.comparison import Compared, Expected, Shown, Verdict, attested, compare

TICKET = {"ticket_id": "T-1", "customer_name": "Ann", "linked_at": "2025-01-29T10:30:00Z"}


def expected(
    name: str = "a.wav", *, ticket: dict[str, str] | None = TICKET, link_version: int = 2, acknowledged: bool = True
) -> Expected:
    return Expected(f"id of {name}", name, link_version, ticket, acknowledged)


@pytest.mark.parametrize(
    ("one", "shown", "verdict"),
    [
        (expected(), Shown("a.wav", TICKET, 2), "in_sync"),
        (expected(), Shown("a.wav", TICKET, None), "in_sync"),
        (expected(acknowledged=False), Shown("a.wav", TICKET, None), "in_sync"),
        (expected(), Shown("a.wav", {**TICKET, "linked_at": "2025-01-29T11:30:00.000+01:00"}, 2), "in_sync"),
        (expected(), Shown("a.wav", {**TICKET, "agent_name": None, "id": 7}, 2), "in_sync"),
        (expected(ticket=None, link_version=0), Shown("a.wav", None, None), "in_sync"),
        (expected(acknowledged=False), Shown("a.wav", None, None), "stale"),
        (expected(), Shown("a.wav", {**TICKET, "ticket_id": "T-0"}, 1), "stale"),
        (expected(), Shown("a.wav", {**TICKET, "ticket_id": "T-0"}, 2), "ticket_mismatch"),
        (expected(), Shown("a.wav", {**TICKET, "ticket_id": "T-0"}, None), "ticket_mismatch"),
        (expected(), Shown("a.wav", {**TICKET, "agent_name": "Bob"}, 2), "ticket_mismatch"),
        (expected(), Shown("a.wav", {**TICKET, "linked_at": "yesterday"}, 2), "ticket_mismatch"),
        (expected(), Shown("a.wav", None, None), "ticket_mismatch"),
        (expected(ticket=None), Shown("a.wav", TICKET, None), "ticket_mismatch"),
        (expected(), Shown("A.wav", TICKET, None), "missing_in_cloud"),
    ],
    ids=str,
)
def test_a_recording_gets_one_verdict(one: Expected, shown: Shown, verdict: Verdict) -> None:
    first, *_ = compare([one], [shown])

    assert first.verdict == verdict


def test_files_that_no_recording_explains_are_extra_and_so_is_the_second_of_a_name() -> None:
    twice = Shown("a.wav", TICKET, 2)
    stranger = Shown("b.wav", None, None)

    found = compare([expected()], [twice, twice, stranger])

    assert [(one.recording_id, one.filename, one.verdict) for one in found] == [
        ("id of a.wav", "a.wav", "in_sync"),
        (None, "a.wav", "extra_in_cloud"),
        (None, "b.wav", "extra_in_cloud"),
    ]


def test_a_folder_that_is_gone_is_missing_file_by_file() -> None:
    assert {one.verdict for one in compare([expected("a.wav"), expected("b.wav")], [])} == {"missing_in_cloud"}


def test_without_the_files_acknowledgements_are_all_that_there_is() -> None:
    assert attested([expected(), expected("b.wav", acknowledged=False)]) == [
        Compared("id of a.wav", "a.wav", "in_sync", 2, None),
        Compared("id of b.wav", "b.wav", "stale", 2, None),
    ]
