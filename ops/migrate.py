"""`ticketsync migrate`: brings the services' databases to the tables that this version expects."""

from enum import StrEnum
from typing import Annotated

import typer

from ops import show
from ops.addresses import SERVICES, resolve
from ops.options import DataDir, Json


class Named(StrEnum):
    """The services, as they are called on the command line."""

    LINKER = "linker"
    TRANSFER = "transfer"
    CLOUD_UPDATER = "cloud-updater"


def migrate(
    service: Annotated[
        Named | None, typer.Argument(metavar="SERVICE", help="linker, transfer or cloud-updater; default: all three.")
    ] = None,
    *,
    json: Json = False,
    data_dir: DataDir = None,
) -> None:
    """Apply the migrations that a database lacks; doing it twice is harmless."""
    from ops import databases  # noqa: PLC0415 - see there

    addresses = resolve(data_dir)
    wanted = [one for one in SERVICES if service is None or one == service.replace("-", "_")]
    for one, url in [(one, addresses.database_url(one)) for one in wanted]:
        databases.upgrade(one, url)
        if not json:
            show.out().print(f"{one.replace('_', '-')}: up to date")
    if json:
        show.as_json({"up_to_date": [one.replace("_", "-") for one in wanted]})
