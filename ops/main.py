"""The `ticketsync` command, and the one place where a command's end becomes an exit code; see ops/commands.py."""

from collections.abc import Sequence
from typing import Annotated

import typer

from ops.commands import LoadedWhenUsed
from ops.exits import Exit, Stop

app = typer.Typer(
    name="ticketsync",
    cls=LoadedWhenUsed,
    help="Keeps the newest help-desk ticket of every call recording visible in the cloud.",
    epilog="Start with: ticketsync demo. Exit codes: 0 ok, 1 finding, 2 wrong use, 69 server unreachable, 78 setting.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(asked: bool) -> None:  # noqa: FBT001 - typer calls it so
    if asked:
        from importlib.metadata import version  # noqa: PLC0415 - no other command waits for it

        typer.echo(version("ticketsync"))
        raise typer.Exit


@app.callback()
def options(
    *,
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Keeps the newest help-desk ticket of every call recording visible in the cloud."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the arguments are those of the process unless given. Returns the exit code."""
    try:
        app(args=arguments, prog_name="ticketsync")
    except Stop as stop:
        from ops import show  # noqa: PLC0415 - a command that ends well may not need it

        show.error(stop.message, stop.todo)
        return stop.code
    except SystemExit as end:
        # How typer ends every command, with 2 for wrong arguments and 130 for Ctrl-C.
        return end.code if isinstance(end.code, int) else Exit.OK
    return Exit.OK
