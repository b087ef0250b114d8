"""What transfer can be told: its database, and how long it waits before it uploads."""

from datetime import timedelta
from typing import Annotated

from pydantic import Field

from services.transfer.decisions import Waits
from shared.settings import CommonSettings, DatabaseUrl


class TransferSettings(CommonSettings):
    """The settings of transfer alone; those of Kafka and of the cloud are read beside it."""

    transfer_database_url: Annotated[
        DatabaseUrl,
        Field(description="Database of transfer, as postgresql+asyncpg://user:password@host/name."),
    ]
    ticket_grace_s: float = Field(
        1.0,
        ge=0,
        le=3600,
        description="Seconds that a recording which requires a ticket waits for one before its upload.",
    )
    upload_quiet_s: float = Field(
        0.2,
        ge=0,
        le=60,
        description="Seconds from a folder's first waiting recording to its upload, to take others along.",
    )
    cloud_resend_unknown: bool = Field(
        default=False,
        description="Send an upload of unknown outcome again although the cloud honours no idempotency keys; "
        "folders and files may then be in the cloud twice.",
    )

    @property
    def waits(self) -> Waits:
        """The two waits before an upload."""
        return Waits(quiet=timedelta(seconds=self.upload_quiet_s), grace=timedelta(seconds=self.ticket_grace_s))
