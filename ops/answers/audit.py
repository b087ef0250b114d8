"""What somebody did."""

from datetime import datetime
from typing import Any

from ops.answers import Answer, PageOf


class AuditRecord(Answer):
    """What somebody did, and to what."""

    time: datetime
    who: str | None
    what: str
    subject: str
    detail: dict[str, Any]


class AuditRecords(PageOf[AuditRecord]):
    """A page of a service's audit records, the newest first."""
