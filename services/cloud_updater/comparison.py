"""What a folder in the cloud shows, against what it should show. Values in, values out.

    in_sync            the newest link's ticket is there, or none on both sides
    stale              another one is there; the newest was not acknowledged, or the cloud itself says that it is older
    ticket_mismatch    another one is there although the cloud has acknowledged the newest
    missing_in_cloud   the file is not there, or the whole folder is not
    extra_in_cloud     a file that no recording explains, or one that is there twice

Without the files, all that can be said is what the cloud has acknowledged: in_sync or stale.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, NamedTuple, get_args

from schemas.events import TicketInfo

Verdict = Literal["in_sync", "stale", "ticket_mismatch", "missing_in_cloud", "extra_in_cloud"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
_FIELDS = tuple(TicketInfo.model_fields)

Ticket = Mapping[str, Any]


class Expected(NamedTuple):
    """A recording in the folder. `ticket`: of its newest link, None if it has none; `acknowledged`: by the cloud."""

    recording_id: str
    filename: str
    link_version: int
    ticket: Ticket | None
    acknowledged: bool


class Shown(NamedTuple):
    """A file as the cloud shows it; without a link version the cloud does not keep any."""

    filename: str
    ticket: Ticket | None
    link_version: int | None


class Compared(NamedTuple):
    """A recording, or a file that is none."""

    recording_id: str | None
    filename: str
    verdict: Verdict
    link_version: int
    shown: Shown | None


def compare(expected: Sequence[Expected], shown: Sequence[Shown]) -> list[Compared]:
    """Every recording, then what the cloud has besides."""
    by_name = {one.filename: one for one in shown}
    compared = [_judge(one, by_name.get(one.filename)) for one in expected]
    besides = Counter(one.filename for one in shown)
    besides.subtract(one.filename for one in expected)
    for filename, number in besides.items():
        compared += [Compared(None, filename, "extra_in_cloud", 0, by_name.get(filename))] * max(0, number)
    return compared


def attested(expected: Sequence[Expected]) -> list[Compared]:
    """As far as the cloud's acknowledgements say."""
    return [
        Compared(one.recording_id, one.filename, "in_sync" if one.acknowledged else "stale", one.link_version, None)
        for one in expected
    ]


def _judge(one: Expected, shown: Shown | None) -> Compared:
    verdict: Verdict
    if shown is None:
        verdict = "missing_in_cloud"
    elif _same(one.ticket, shown.ticket):
        verdict = "in_sync"
    elif not one.acknowledged or (shown.link_version is not None and shown.link_version < one.link_version):
        verdict = "stale"
    else:
        verdict = "ticket_mismatch"
    return Compared(one.recording_id, one.filename, verdict, one.link_version, shown)


def _same(ours: Ticket | None, theirs: Ticket | None) -> bool:
    if ours is None or theirs is None:
        return ours is theirs
    if ours == theirs:
        return True
    return all(_equal(ours.get(field), theirs.get(field)) for field in _FIELDS)


def _equal(ours: object, theirs: object) -> bool:
    """A time is the same in whatever form; an optional field without a value may be null or left out."""
    if ours == theirs:
        return True
    if not isinstance(ours, str) or not isinstance(theirs, str):
        return False
    try:
        return datetime.fromisoformat(ours) == datetime.fromisoformat(theirs)
    except (ValueError, TypeError):
        return False
