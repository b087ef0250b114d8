"""The name under which the cloud shows a linked recording. Values in, values out.

Rule: the cloud's contract, "display name".
"""

import re
import unicodedata
from datetime import UTC, date, datetime
from functools import lru_cache

DISPLAY_NAME_MAX = 500
_NO_LETTERS_OR_DIGITS = re.compile(r"[\W_]+")  # of Unicode: whatever is in none of the categories L and N


def display_name(ticket_id: str, customer_name: str | None, *, filename: str, called_at: datetime | None) -> str:
    """JohnDoe_TKT12345_20250129: customer, ticket and call date, each without anything but letters and digits.

    Unicode letters stay. A part with nothing left is left out; without customer and ticket it is the filename.
    """
    shown = shown_name(ticket_id, customer_name)
    if not shown:
        return "".join(one for one in filename if unicodedata.category(one) != "Cc")[:DISPLAY_NAME_MAX]
    return (f"{shown}_{_written(called_at.astimezone(UTC).date())}" if called_at else shown)[:DISPLAY_NAME_MAX]


def shown_name(ticket_id: str, customer_name: str | None) -> str:
    """The same but for the day of the call; "" if nothing is left."""
    customer, number = _of_customer(customer_name or ""), _letters_and_digits(ticket_id)
    return f"{customer}_{number}" if customer and number else customer or number


@lru_cache(maxsize=1_000)
def _written(day: date) -> str:
    return day.isoformat().replace("-", "")


def _letters_and_digits(value: str) -> str:
    if value.isascii() and value.isalnum():
        return value
    return _NO_LETTERS_OR_DIGITS.sub("", unicodedata.normalize("NFC", value))


_of_customer = lru_cache(maxsize=1_000)(_letters_and_digits)  # the same customers call again and again
