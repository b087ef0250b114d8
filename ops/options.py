"""Options that several commands share, so that they are called and explained alike everywhere."""

from pathlib import Path
from typing import Annotated

import typer

DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        envvar="TICKETSYNC_DATA_DIR",
        file_okay=False,
        help="Folder of an embedded stack (`ticketsync up`); without it the addresses come from the environment.",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON value on stdout, and nothing else there.")]
By = Annotated[
    str | None,
    typer.Option("--by", help="Who asks for it, for the audit record; default: your login name.", show_default=False),
]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask; needed where nobody can be asked.")]
