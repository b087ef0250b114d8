"""Says which rules a value broke, for dead letters, API answers and the rows of an import.

In: pydantic's error about one of our models. Out: field and rule in words, never the value: what is said here reaches
logs, headers and screens, and transcripts and customers' names must not.
"""

from dataclasses import dataclass

from pydantic import ValidationError

from schemas.fields import PATTERNS_IN_WORDS


@dataclass(frozen=True)
class BrokenRule:
    """`field` is a path such as ticket_info.ticket_id, or "" where the rule is about the whole event."""

    field: str
    rule: str

    def __str__(self) -> str:
        return f"{self.field}: {self.rule}" if self.field else self.rule


def broken_rules(error: ValidationError) -> list[BrokenRule]:
    """Every rule that was broken, at least one, in the order of the fields."""
    return [
        BrokenRule(
            field=".".join(map(str, found["loc"])),
            rule=PATTERNS_IN_WORDS.get(
                found.get("ctx", {}).get("pattern", ""), found["msg"].removeprefix("Value error, ")
            ),
        )
        for found in error.errors(include_url=False, include_input=False)
    ]


def is_malformed_json(error: ValidationError) -> bool:
    """Whether the text was no JSON at all; then there is one broken rule, which says where."""
    return error.errors(include_url=False, include_context=False, include_input=False)[0]["type"] == "json_invalid"
