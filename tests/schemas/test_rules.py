"""What people are told about a value that breaks a rule."""

import pytest
from pydantic import ValidationError

from schemas.events import TicketDetails, TicketLinkRequested
from schemas.rules import broken_rules, is_malformed_json
from tests.schemas.given import a_body, as_json


def test_rules_are_named_in_words_and_in_the_order_of_the_fields() -> None:
    row = {"ticket_id": "x" * 101, "ticket_url": "http:x", "customer_name": "a\tb", "agent_name": 7}

    with pytest.raises(ValidationError) as caught:
        TicketDetails.model_validate(row)

    assert [str(rule) for rule in broken_rules(caught.value)] == [
        "ticket_id: String should have at most 100 characters",
        "ticket_url: Address should be absolute, http or https, without user, password, spaces and control characters",
        "customer_name: Text should not hold control characters",
        "agent_name: Input should be a valid string",
    ]


@pytest.mark.parametrize(
    ("text", "field", "rule", "malformed"),
    [
        (b"{", "", "Invalid JSON: EOF while parsing an object at line 1 column 1", True),
        (
            as_json(a_body(TicketLinkRequested, filename="a.wav")),
            "",
            "exactly one of recording_id and filename is needed",
            False,
        ),
        (
            as_json(a_body(TicketLinkRequested, request_id="a\x00b")),
            "request_id",
            "Text should not hold a NUL character",
            False,
        ),
    ],
)
def test_a_rule_about_the_whole_has_no_field(text: bytes, field: str, rule: str, malformed: bool) -> None:  # noqa: FBT001
    with pytest.raises(ValidationError) as caught:
        TicketLinkRequested.model_validate_json(text)

    (broken,) = broken_rules(caught.value)
    assert (broken.field, broken.rule) == (field, rule)
    assert is_malformed_json(caught.value) == malformed
