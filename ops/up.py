"""`ticketsync up`: the whole system in the foreground, with its own Kafka and PostgreSQL, from one data folder."""

import os
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer

from ops import show
from ops.addresses import setting
from ops.exits import Misconfigured, WrongInput


def up(
    *,
    data_dir: Annotated[
        Path,
        typer.Option(
            "--data-dir",
            envvar="TICKETSYNC_DATA_DIR",
            file_okay=False,
            help="Folder that keeps everything; made if it is new. The same folder goes on where it was.",
        ),
    ] = Path("data"),
    cloud_url: Annotated[
        str | None,
        typer.Option("--cloud-url", help="The cloud to use instead of the emulator.", show_default=False),
    ] = None,
    cloud_token: Annotated[
        str | None,
        typer.Option(
            "--cloud-token", help="Its token; better in CLOUDS_TOKEN or CLOUDS_TOKEN_FILE.", show_default=False
        ),
    ] = None,
) -> None:
    """Run Kafka, PostgreSQL, the three services and a cloud emulator until Ctrl-C."""
    if cloud_url is None and cloud_token is not None:
        raise WrongInput("--cloud-token goes with --cloud-url")
    if cloud_url is not None:
        _check_url(cloud_url)
        if not (cloud_token or setting("CLOUDS_TOKEN")):
            raise Misconfigured("CLOUDS_TOKEN is not set", todo="It is the token of the cloud at --cloud-url.")
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise WrongInput(f"--data-dir: {data_dir} cannot be made: {error.strerror}") from None
    try:
        # On demand: no other command needs the packages of the embedded servers.
        from local.stack import Cloud  # noqa: PLC0415
        from local.stack import up as run_stack  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise Misconfigured(
            f"{error}", todo="Install the embedded servers: pip install 'ticketsync[embedded]'"
        ) from None
    cloud = None if cloud_url is None else Cloud(cloud_url, cloud_token or _token())
    raise typer.Exit(run_stack(data_dir, cloud=cloud, say=show.note))


def _token() -> str | Path:
    """The file, so that what is written there later is used as well; else the token."""
    file = os.environ.get("CLOUDS_TOKEN_FILE")
    return Path(file) if file else setting("CLOUDS_TOKEN") or ""


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        valid = parts.scheme in {"http", "https"} and bool(parts.hostname)
    except ValueError:
        valid = False
    if not valid:
        raise WrongInput(f"--cloud-url: {url} is not an http or https address")
