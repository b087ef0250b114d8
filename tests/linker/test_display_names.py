"""The name under which the cloud shows a recording's ticket."""

import pytest

from services.linker.display_name import display_name
from tests.linker.given import NOON


@pytest.mark.parametrize(
    ("customer", "ticket", "expected"),
    [
        ("John Doe", "TKT-12345", "JohnDoe_TKT12345_20250129"),
        ("José García", "TKT-1", "JoséGarcía_TKT1_20250129"),
        ("测试用户", "TKT-1", "测试用户_TKT1_20250129"),
        ("O'Brien & Sons", "CASE#456", "OBrienSons_CASE456_20250129"),
        (None, "CASE#456", "CASE456_20250129"),
        ("???", "#7", "7_20250129"),
        ("Ann", "##", "Ann_20250129"),
        ("!!!", "##", "call one.wav"),
        (None, "--", "call one.wav"),
        ("Jose\u0301", "T1", "Jos\u00e9_T1_20250129"),
        ("a" * 255, "t" * 100, "a" * 255 + "_" + "t" * 100 + "_20250129"),
    ],
)
def test_it_is_customer_ticket_and_date_of_letters_and_digits(customer: str | None, ticket: str, expected: str) -> None:
    assert display_name(ticket, customer, filename="call one.wav", called_at=NOON) == expected


def test_an_unknown_date_is_left_out() -> None:
    assert display_name("T-1", "Ann", filename="call.wav", called_at=None) == "Ann_T1"


def test_it_has_500_characters_at_most() -> None:
    assert display_name("#", None, filename="测" * 500, called_at=None) == "测" * 500


def test_a_filename_that_stands_in_for_a_name_is_shown_without_control_characters() -> None:
    assert display_name("#", None, filename="a\x07b.wav", called_at=None) == "ab.wav"
