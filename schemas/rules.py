"""Says which rules a value broke, for dead letters, API answers and the rows of an import.

In: pydantic's error about one of our models. Out: field and rule in words, never the value: what is said here reaches
logs, headers and screens, and transcripts and customers' names must not.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

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
            rule=in_words(found["msg"], found.get("ctx", {})),
        )
        for found in error.errors(include_url=False, include_input=False)
    ]


def in_words(message: str, context: Mapping[str, Any]) -> str:
    """One rule of pydantic's as a person reads it: a pattern's meaning, not the pattern."""
    return PATTERNS_IN_WORDS.get(context.get("pattern", ""), message.removeprefix("Value error, "))


def is_malformed_json(error: ValidationError) -> bool:
    """Whether the text was no JSON at all; then there is one broken rule, which says where."""
    return error.errors(include_url=False, include_context=False, include_input=False)[0]["type"] == "json_invalid"
