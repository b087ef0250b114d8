"""Finds which column of a spreadsheet holds which field.

Names are compared after lower-casing and dropping everything but letters and digits; only an exact match counts, one
column serves one field, and what the caller maps wins. Pure: a heading in, places out.
"""

import re
from collections.abc import Mapping, Sequence

from services.linker.lines import COLUMNS_MAX, Unreadable

# Names of a field in the order in which they are looked for.
NAMES = {
    "recording_name": (
        "recording_name", "recording_filename", "filename", "file_name", "file", "recording", "audio_file",
    ),
    "ticket_id": ("ticket_id", "ticket", "ticket_number", "case_id", "id"),
    "customer_name": ("customer_name", "customer", "client_name", "client", "name"),
    "agent_name": ("agent_name", "agent", "staff_name", "staff", "employee"),
    "call_intent": ("call_intent", "intent", "call_purpose", "purpose", "reason", "type"),
    "call_outcome": ("call_outcome", "outcome", "result", "resolution", "status"),
    "ticket_url": ("ticket_url", "url", "ticket_link", "link"),
    "folder": ("folder", "folder_name", "batch"),
    "recording_id": ("recording_id", "recording_uuid"),
}  # fmt: skip
REQUIRED = ("recording_name", "ticket_id")
COLUMNS_SHOWN = 30


class SameName(Unreadable):
    """Two columns may be the one that is looked for."""


def find_columns(header: Sequence[str], given: Mapping[str, str] | None = None, *, line: int = 1) -> dict[str, int]:
    """Field → place of its column, in the order of the fields; `given`: field → column's name.

    Raises Unreadable if a column that is given is not there, and if two have the name that is looked for.
    """
    if len(header) > COLUMNS_MAX:
        raise Unreadable(f"line {line}: the file has {len(header):,} columns; at most {COLUMNS_MAX:,} are read")
    columns = {field: _given(field, name, header, line) for field, name in (given or {}).items()}
    if len(set(columns.values())) < len(columns):
        raise Unreadable("one column is mapped to more than one field")
    taken = set(columns.values())
    places: dict[str, int] = {}
    twice: dict[int, int] = {}
    for place, name in enumerate(header):
        if place not in taken and places.setdefault(_compared(name), place) != place:
            twice.setdefault(places[_compared(name)], place)
    for field, names in NAMES.items():
        if field not in columns:
            found = next((places[_compared(one)] for one in names if _compared(one) in places), None)
            if found is not None:
                _check_only(field, header, found, twice.get(found), line)
                columns[field] = found
    return {field: columns[field] for field in NAMES if field in columns}


def map_columns(header: Sequence[str], given: Mapping[str, str] | None = None, *, line: int = 1) -> dict[str, int]:
    """`find_columns`, but raises Unreadable also if a column that is needed is not there."""
    columns = find_columns(header, given, line=line)
    _check_required(columns, header, line)
    return columns


def has_required(header: Sequence[str], given: Mapping[str, str] | None = None) -> bool:
    """Whether the heading can be mapped."""
    try:
        map_columns(header, given)
    except SameName:
        return True
    except Unreadable:
        return False
    return True


def _given(field: str, name: str, header: Sequence[str], line: int) -> int:
    if field not in NAMES:
        raise Unreadable(f"there is no field {field!r} to map; the fields are {', '.join(NAMES)}")
    same = [place for place, one in enumerate(header) if one.strip() == name.strip()]
    found = same or [place for place, one in enumerate(header) if _compared(one) == _compared(name) != ""]
    if not found:
        raise Unreadable(f"line {line}: no column {name!r} for {field}; {_there(header)}")
    _check_only(field, header, found[0], found[1] if len(found) > 1 else None, line)
    return found[0]


def _check_only(field: str, header: Sequence[str], first: int, second: int | None, line: int) -> None:
    """Which of two columns of one name is meant only a person can say."""
    if second is not None:
        raise SameName(
            f"line {line}: columns {first + 1} ({header[first].strip()[:50]!r}) and {second + 1} "
            f"({header[second].strip()[:50]!r}) have the same name, and either may be {field}; rename or remove one"
        )


def missing_fields(columns: Mapping[str, int]) -> list[str]:
    """The fields without which nothing can be imported."""
    missing = [field for field in REQUIRED if field not in columns]
    if "recording_name" in missing and "recording_id" in columns:
        missing.remove("recording_name")
    return missing


def _check_required(columns: Mapping[str, int], header: Sequence[str], line: int) -> None:
    if missing := missing_fields(columns):
        wanted = "; ".join(f"{field} (as {', '.join(NAMES[field])})" for field in missing)
        raise Unreadable(
            f"line {line}: no column for {wanted}; {_there(header)}; say which it is: map {missing[0]}=COLUMN"
        )


def _there(header: Sequence[str]) -> str:
    names = [repr(name.strip()[:50]) for name in header if name.strip()]
    more = f" and {len(names) - COLUMNS_SHOWN:,} more" if len(names) > COLUMNS_SHOWN else ""
    return f"the columns are {', '.join(names[:COLUMNS_SHOWN])}{more}"


def _compared(name: str) -> str:
    return re.sub(r"[\W_]+", "", name.lower())
