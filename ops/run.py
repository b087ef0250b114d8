"""`ticketsync run`: one process of the system in the foreground, as a supervisor or a container starts it.

With --data-dir the settings come from DIR/settings.json, which `ticketsync up` writes; they take the place of what the
environment says. What a service needs besides is its own affair: this only opens the right door.
"""

import json
import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ops.addresses import Service, setting
from ops.exits import Misconfigured, WrongInput
from ops.options import DataDir
from shared.settings import ConfigurationError


class Part(StrEnum):
    """What runs as a process of its own."""

    LINKER = "linker"
    TRANSFER = "transfer"
    CLOUD_UPDATER = "cloud-updater"
    CLOUD_EMULATOR = "cloud-emulator"


SERVICE_OF: dict[Part, Service] = {
    Part.LINKER: "linker",
    Part.TRANSFER: "transfer",
    Part.CLOUD_UPDATER: "cloud_updater",
}
PORTS = {Part.LINKER: 8081, Part.TRANSFER: 8082, Part.CLOUD_UPDATER: 8083, Part.CLOUD_EMULATOR: 8090}


def run(
    part: Annotated[Part, typer.Argument(metavar="NAME", help="linker, transfer, cloud-updater or cloud-emulator.")],
    *,
    port: Annotated[
        int | None,
        typer.Option(
            "--port",
            min=1,
            max=65535,
            show_default=False,
            help="HTTP port; default: 8081 linker, 8082 transfer, 8083 cloud-updater, 8090 cloud-emulator.",
        ),
    ] = None,
    host: Annotated[str, typer.Option("--host", help="Address to listen on; 0.0.0.0 in a container.")] = "127.0.0.1",
    migrate: Annotated[bool, typer.Option("--migrate", help="Bring the service's database up to date first.")] = False,
    capability: Annotated[
        list[str] | None,
        typer.Option(help="cloud-emulator: only this capability; may be repeated.", show_default=False),
    ] = None,
    as_deployed: Annotated[
        bool, typer.Option("--as-deployed", help="cloud-emulator: without any capability, as the cloud is today.")
    ] = False,
    data_dir: DataDir = None,
) -> None:
    """Run one service, or the cloud emulator, until SIGTERM or SIGINT."""
    if part is not Part.CLOUD_EMULATOR and (capability or as_deployed):
        raise WrongInput("--capability and --as-deployed belong to cloud-emulator")
    if part is Part.CLOUD_EMULATOR and migrate:
        raise WrongInput("cloud-emulator has no database to --migrate")
    # The emulator needs a folder to keep its effects, not the settings of a stack.
    if data_dir and (part is not Part.CLOUD_EMULATOR or (data_dir / "settings.json").exists()):
        overlay(data_dir / "settings.json")
    port = port or PORTS[part]
    if part is Part.CLOUD_EMULATOR:
        _run_emulator(host, port, data_dir, [] if as_deployed else capability)
    else:
        raise typer.Exit(_run_service(part, host=host, port=port, migrate=migrate))


def overlay(file: Path) -> None:
    """Put the settings of a JSON object into the environment of this process. Raises Misconfigured."""
    try:
        settings = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise Misconfigured(f"{file} cannot be read: {error}", todo="`ticketsync up` writes it.") from None
    if not isinstance(settings, dict) or not all(isinstance(value, str) for value in settings.values()):
        raise Misconfigured(f"{file} is not a JSON object of names and texts")
    for name, value in settings.items():
        # Else a secret that the environment happens to hold, or its file, would stand beside the one given here.
        secret = name.removesuffix("_FILE")
        os.environ.pop(secret, None)
        os.environ.pop(f"{secret}_FILE", None)
        os.environ[name] = value


def _run_service(part: Part, *, host: str, port: int, migrate: bool) -> int:
    # Imported on demand: a service brings its web server and database with it, which no other command needs.
    match part:
        case Part.LINKER:
            from services.linker.app import main  # noqa: PLC0415
        case Part.TRANSFER:
            from services.transfer.app import main  # noqa: PLC0415
        case _:
            from services.cloud_updater.app import main  # noqa: PLC0415
    from ops.databases import database_answers  # noqa: PLC0415 - as above

    try:
        # Once it runs it waits for what does not answer; at its start somebody is there to be told.
        with database_answers(SERVICE_OF[part]):
            return main(host=host, port=port, migrate=migrate)
    except ConfigurationError as error:
        raise Misconfigured(str(error)) from None


def _run_emulator(host: str, port: int, data_dir: Path | None, capabilities: list[str] | None) -> None:
    """`capabilities` None: all of them."""
    from local.emulator import serve  # noqa: PLC0415 - as above
    from local.emulator.settings import CAPABILITIES, capabilities_named  # noqa: PLC0415

    token = setting("CLOUDS_TOKEN")
    if not token:
        raise Misconfigured("CLOUDS_TOKEN is not set", todo="It is the token that callers of the emulator present.")
    try:
        wanted = capabilities_named(CAPABILITIES if capabilities is None else capabilities)
    except ValueError as error:
        raise WrongInput(str(error)) from None
    folder = data_dir / "cloud-emulator" if data_dir else None
    try:
        serve.run(host, port, token, folder, wanted)
    except BlockingIOError:
        raise WrongInput(f"another cloud-emulator is using {folder}") from None
