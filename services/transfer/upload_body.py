"""The bodies of create and inject: written once when a request is frozen, and read back when it has had its effect.

What was transferred is what those bytes say, never what the rows say by then. Source: the cloud's HTTP contract in
docs/cloud.md. Pure.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic_core import from_json, to_json

UNITS = ("B", "KB", "MB", "GB", "TB", "PB", "EB")


def size_text(size_bytes: int) -> str:
    """1024-based, at most two decimals, halves rounded up, no trailing zeros: 0 B, 1.5 KB, 2.5 MB."""
    unit, power = 1, 0
    while power < len(UNITS) - 1 and _hundredths(size_bytes, unit) >= 1024 * 100:
        unit, power = unit * 1024, power + 1
    whole, part = divmod(_hundredths(size_bytes, unit), 100)
    decimals = f".{part:02}".rstrip("0") if part else ""
    return f"{whole}{decimals} {UNITS[power]}"


def _hundredths(size_bytes: int, unit: int) -> int:
    return (size_bytes * 200 + unit) // (2 * unit)


def file_entry(
    *,
    filename: str,
    size_bytes: int,
    token: int,
    transcript: str,
    ticket_info: Mapping[str, Any] | None,
    link_version: int | None,
) -> bytes:
    """One element of `files`. `link_version` is None for a cloud that does not know it; it goes with a ticket only."""
    entry: dict[str, Any] = {
        "filename": filename,
        "size": size_text(size_bytes),
        "token": token,
        "transcribe": transcript,
    }
    if ticket_info is not None:
        entry["ticket_info"] = ticket_info
        if link_version is not None:
            entry["link_version"] = link_version
    return to_json(entry)


def inject_body(entries: Sequence[bytes]) -> bytes:
    """Files for a folder that the cloud has."""
    return b'{"files":[' + b",".join(entries) + b"]}"


def create_body(folder_name: str, entries: Sequence[bytes]) -> bytes:
    """A new folder with its first files."""
    return b'{"folder":' + to_json(folder_name) + b',"files":[' + b",".join(entries) + b"]}"


def files_in(body: bytes) -> Sequence[Mapping[str, Any]]:
    """The files of a body that this module has written, in their order, with the fields of TransferredFile."""
    files: Sequence[Mapping[str, Any]] = from_json(body)["files"]
    return files
