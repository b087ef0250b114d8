"""The `ticketsync` command: every command by name, and the one place where a command's end becomes an exit code."""

from collections.abc import Sequence
from importlib.metadata import version
from typing import Annotated

import typer

from ops import dlq, parked, publish, resyncs, show, topics, transfer
from ops.adopt import adopt
from ops.audit import audit
from ops.demo import demo
from ops.doctor import doctor
from ops.exits import Exit, Stop
from ops.explain import explain
from ops.import_links import import_links
from ops.lag import lag
from ops.link import link, unlink
from ops.migrate import migrate
from ops.pause import pause, resume
from ops.recordings import recordings
from ops.replay import replay
from ops.resync import resync
from ops.run import run
from ops.status import status
from ops.up import up
from ops.verify import verify

app = typer.Typer(
    name="ticketsync",
    help="Keeps the newest help-desk ticket of every call recording visible in the cloud.",
    epilog="Start with: ticketsync demo. Exit codes: 0 ok, 1 finding, 2 wrong use, 69 server unreachable, 78 setting.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command(epilog="Example: ticketsync demo")(demo)
app.command(epilog="Example: ticketsync up --data-dir data")(up)
app.command(epilog="Example: ticketsync run linker --migrate --port 8081")(run)
app.command(epilog="Example: ticketsync migrate cloud-updater")(migrate)
app.add_typer(topics.commands, name="topics")
app.add_typer(publish.commands, name="publish")
app.command(epilog="Example: ticketsync link recording_001.wav --folder 2025-01-29 --ticket TKT-12345")(link)
app.command(epilog="Example: ticketsync unlink recording_001.wav --folder 2025-01-29")(unlink)
app.command("import", epilog="Example: ticketsync import tickets.csv --json")(import_links)
app.command(epilog="Example: ticketsync status --wait settled --timeout 60")(status)
app.command(epilog="Example: ticketsync recordings --state pending --format csv --output pending.csv")(recordings)
app.command(epilog="Example: ticketsync explain recording_001.wav --folder 2025-01-29")(explain)
app.command(epilog="Example: ticketsync lag --watch")(lag)
app.command(epilog="Example: ticketsync verify --all --repair")(verify)
app.add_typer(parked.commands, name="parked")
app.command(epilog="Example: ticketsync resync --folder 2025-01-29 --force --rate 60/m --dry-run")(resync)
app.add_typer(resyncs.commands, name="resyncs")
app.command(epilog='Example: ticketsync pause cloud-updater --why "cloud maintenance until 18:00"')(pause)
app.command(epilog="Example: ticketsync resume cloud-updater")(resume)
app.add_typer(dlq.commands, name="dlq")
app.add_typer(transfer.commands, name="transfer")
app.command(epilog="Example: ticketsync adopt recordings.jsonl --dry-run")(adopt)
app.command(epilog="Example: ticketsync replay cloud-updater TicketLinked --from-start --dry-run")(replay)
app.command(epilog="Example: ticketsync audit --who ann --since 2025-01-29T00:00:00Z")(audit)
app.command(epilog="Example: ticketsync doctor --data-dir data")(doctor)


def _print_version(asked: bool) -> None:  # noqa: FBT001 - typer calls it so
    if asked:
        show.out().print(version("ticketsync"))
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
        show.error(stop.message, stop.todo)
        return stop.code
    except SystemExit as end:
        # How typer ends every command, with 2 for wrong arguments and 130 for Ctrl-C.
        return end.code if isinstance(end.code, int) else Exit.OK
    return Exit.OK
