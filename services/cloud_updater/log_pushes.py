"""The log line of a push: info if the cloud has it, warning if it goes again, error if it needs a person.

Never a ticket or a transcript: a line names recordings, versions and the cloud's own words, which hold nothing of what
was sent (shared/echo.py).
"""

import structlog

from services.cloud_updater.claims import Claimed
from services.cloud_updater.decisions import Acknowledged, AfterPush, RejectFiles, TryLater

log = structlog.get_logger()

REFUSALS_LOGGED = 20


def log_push(claimed: Claimed, decision: AfterPush) -> None:
    """Say what was recorded of this push."""
    if isinstance(decision, Acknowledged):
        log.info("tickets pushed", clouds_uuid=claimed.clouds_uuid, files=len(claimed.files))
    elif isinstance(decision, RejectFiles):
        for place, message in sorted(decision.messages.items())[:REFUSALS_LOGGED]:
            one = claimed.files[place]
            log.error(
                "ticket refused by the cloud",
                clouds_uuid=claimed.clouds_uuid,
                recording_id=one.recording_id,
                link_version=one.link_version,
                attempt=claimed.attempts + 1,
                message=message,
            )
        log.error("tickets refused by the cloud", clouds_uuid=claimed.clouds_uuid, files=len(decision.messages))
    else:
        log.warning(
            "tickets not pushed",
            clouds_uuid=claimed.clouds_uuid,
            files=len(claimed.files),
            outcome=type(decision).__name__,
            attempt=claimed.attempts + 1,
            next_in_s=decision.wait_s if isinstance(decision, TryLater) else None,
            message=decision.message,
        )
