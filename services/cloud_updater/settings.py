"""The settings that only cloud_updater has."""

from typing import Annotated

from pydantic import Field

from shared.settings import BatchRecords, CommonSettings, DatabaseUrl


class CloudUpdaterSettings(CommonSettings):
    """See docs/settings.md."""

    cloud_updater_database_url: Annotated[
        DatabaseUrl,
        Field(description="Database of cloud_updater, as postgresql+asyncpg://user:password@host:port/database."),
    ]
    fold_batch_records: BatchRecords = 4_000
    push_quiet_s: float = Field(
        0.2,
        ge=0,
        description="Seconds without a change after which a folder is pushed; "
        "a single link or a full request goes at once.",
    )
    push_quiet_max_s: float = Field(2.0, ge=0, description="Seconds a folder's push waits for quiet at most.")
    second_push_after_s: float = Field(
        60.0, gt=0, description="Seconds after an unknown outcome until its recordings are pushed once more."
    )
