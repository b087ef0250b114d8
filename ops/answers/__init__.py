"""The services' answers, as far as the commands read them; one file for each thing that they are about.

An answer that does not fit comes from another server or another version: `ops.service_api` says so instead of failing
somewhere inside a command.
"""

from typing import Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, RootModel

State = Literal["not_transferred", "pending", "in_sync", "waiting_for_ticket", "no_ticket_needed"]
Item = TypeVar("Item")
Blocked = Literal["retrying", "rejected", "outcome_unknown", "missing_in_cloud"]


class Answer(BaseModel):
    """An answer; what a newer service adds is ignored. A command builds those that it reads, and not all."""

    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)


class Anything(RootModel[dict[str, Any]]):
    """A JSON object that is shown as it came."""


class PageOf(Answer, Generic[Item]):
    """A page of a list; the last one has no cursor."""

    items: list[Item]
    next_cursor: str | None = None


class Page(PageOf[dict[str, Any]]):
    """A page of a list whose items are shown as they came."""
