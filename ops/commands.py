"""Every command by name, and the group of commands that loads only the one that is used.

Commands need different libraries: a client of Kafka, one of PostgreSQL, a whole stack. Whoever asks for the status
waits for none of them. So each command is known here by its line in the list and by the module it stands in, and the
list is printed without loading any; a test holds each line to what the command says of itself.
"""

from dataclasses import dataclass
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.exceptions import TyperException
from typer.main import get_group


@dataclass(frozen=True)
class Listed:
    """A command, or a group of them: `module:name`, its line in the list, and an example if it is no group."""

    where: str
    line: str
    example: str | None = None


COMMANDS = {
    "demo": Listed(
        "ops.demo:demo", "Show the whole system at work on 1,000 recordings, in less than a minute.", "demo"
    ),
    "up": Listed(
        "ops.up:up",
        "Run Kafka, PostgreSQL, the three services and a cloud emulator until Ctrl-C.",
        "up --data-dir data",
    ),
    "run": Listed(
        "ops.run:run",
        "Run one service, or the cloud emulator, until SIGTERM or SIGINT.",
        "run linker --migrate --port 8081",
    ),
    "migrate": Listed(
        "ops.migrate:migrate",
        "Apply the migrations that a database lacks; doing it twice is harmless.",
        "migrate cloud-updater",
    ),
    "topics": Listed("ops.topics:commands", "Create Kafka's topics, or see whether they are as declared."),
    "publish": Listed("ops.publish:commands", "Publish events from a file."),
    "link": Listed(
        "ops.link:link",
        "Attach a ticket to a recording; it replaces the one that was there.",
        "link recording_001.wav --folder 2025-01-29 --ticket TKT-12345",
    ),
    "unlink": Listed(
        "ops.link:unlink",
        "Remove the ticket of a recording, or withdraw a link that is still parked.",
        "unlink recording_001.wav --folder 2025-01-29",
    ),
    "import": Listed(
        "ops.import_links:import_links",
        "Import links from a spreadsheet and show what became of each row.",
        "import tickets.xlsx --map ticket_id=CaseNo --folder 2025-01-29 --dry-run",
    ),
    "imports": Listed("ops.imports:commands", "Imports of spreadsheets: list, show."),
    "parked": Listed("ops.parked:commands", "Links that wait for their recordings: list, drop."),
    "status": Listed(
        "ops.status:status",
        "Show the state of all recordings, of a folder, or of one recording.",
        "status --wait settled --timeout 60",
    ),
    "recordings": Listed(
        "ops.recordings:recordings",
        "List recordings that meet all of the given conditions, or that are blocked.",
        "recordings --state pending --format csv --output pending.csv",
    ),
    "explain": Listed(
        "ops.explain:explain",
        "Tell what happened to a recording, and why it is or is not in sync.",
        "explain recording_001.wav --folder 2025-01-29",
    ),
    "lag": Listed("ops.lag:lag", "Show how far the services are behind their topics.", "lag --watch"),
    "verify": Listed(
        "ops.verify:verify",
        "Compare what the cloud shows with what it should show; exit 1 if anything is found.",
        "verify --all --repair",
    ),
    "resync": Listed(
        "ops.resync:resync",
        "Push again what the cloud should know; exit 1 if the cloud refuses some, or a name is unknown.",
        "resync --folder 2025-01-29 --force --rate 60/m --dry-run",
    ),
    "resyncs": Listed("ops.resyncs:commands", "Resyncs: list, show, pause, resume, cancel."),
    "pause": Listed(
        "ops.pause:pause",
        "Send nothing to the cloud from this service until it is resumed; what is under way ends as ever.",
        'pause cloud-updater --why "cloud maintenance until 18:00"',
    ),
    "resume": Listed(
        "ops.pause:resume",
        "Let a service that was paused send to the cloud again; one that was not stays as it is.",
        "resume cloud-updater",
    ),
    "transfer": Listed(
        "ops.transfer:commands",
        "What waits for a person before it is in the cloud: list, retry, exists-as, give-up.",
    ),
    "adopt": Listed(
        "ops.adopt:adopt",
        "Take over recordings whose folders are in the cloud already, with the tickets that are there.",
        "adopt recordings.jsonl --dry-run",
    ),
    "dlq": Listed("ops.dlq:commands", "Records that could not be applied: list, show, redrive, discard."),
    "replay": Listed(
        "ops.replay:replay",
        "Let a service read old records of a topic once more, and wait until it has.",
        "replay cloud-updater TicketLinked --from-start --dry-run",
    ),
    "audit": Listed(
        "ops.audit:audit", "List who did what, the newest first.", "audit --who ann --since 2025-01-29T00:00:00Z"
    ),
    "doctor": Listed(
        "ops.doctor:doctor",
        "Look at Kafka, its topics, the databases, the services, their clocks and versions, and the way to the cloud.",
        "doctor --data-dir data",
    ),
}

# How the list is divided, by what one is about to do.
PANELS = {
    "Try it, run it": ("demo", "up", "run", "migrate", "topics", "doctor"),
    "Publish and link": ("publish", "link", "unlink", "import", "imports", "parked", "adopt"),
    "Look": ("status", "recordings", "explain", "lag", "audit"),
    "Compare, push again, pause": ("verify", "resync", "resyncs", "pause", "resume"),
    "What needs a person": ("transfer", "dlq", "replay"),
}


class NamesWhatItIsAbout(TyperCommand):
    """A command of one thing that strangers have named: a name that looks like an option is one of those."""

    def parse_args(self, ctx: Any, args: list[str]) -> Any:  # noqa: ANN401 - types that typer keeps to itself
        """As typer does; that an option is unknown is told with what to do if it is none."""
        try:
            return super().parse_args(ctx, args)
        except TyperException as error:
            takes_a_name = any(one.param_type_name == "argument" for one in self.params)
            if takes_a_name and hasattr(error, "possibilities"):
                error.message += f". A name that begins with - stands behind --: {ctx.command_path} -- -NAME."
            raise


class LoadedWhenUsed(TyperGroup):
    """The commands of the list; a command is loaded when it is about to run, or is asked for its own help."""

    def __init__(self, **given: Any) -> None:  # noqa: ANN401 - what typer gives to a group
        super().__init__(**given)
        for panel, names in PANELS.items():
            for name in names:
                self.commands[name] = TyperCommand(name, help=COMMANDS[name].line, rich_help_panel=panel)

    def get_params(self, ctx: Any) -> Any:  # noqa: ANN401 - types that typer keeps to itself
        """Those of no command, such as --version."""
        return [_without_the_type_of_a_flag(one) for one in super().get_params(ctx)]

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 - types that typer keeps to itself
        """As typer does; what its library says in front of each wrong value is left out."""
        try:
            return super().invoke(ctx)
        except TyperException as error:
            error.message = error.message.replace("Value error, ", "")
            raise

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:  # noqa: ANN401 - types that typer keeps to itself
        """The command that the arguments begin with, and the arguments that are left for it."""
        name, _, rest = super().resolve_command(ctx, args)
        return name, name and load(name), rest


def load(name: str) -> TyperCommand | TyperGroup:
    """The command of that name, ready to run. Raises KeyError."""
    listed = COMMANDS[name]
    module, _, attribute = listed.where.partition(":")
    found = getattr(import_module(module), attribute)
    around = typer.Typer()
    if isinstance(found, typer.Typer):
        around.add_typer(found, name=name)
    else:
        around.command(name, cls=NamesWhatItIsAbout, epilog=f"Example: ticketsync {listed.example}")(found)
    loaded = get_group(around).commands[name]
    assert isinstance(loaded, TyperCommand | TyperGroup)  # noqa: S101 - what typer makes of the above
    for one in (loaded, *(loaded.commands.values() if isinstance(loaded, TyperGroup) else ())):
        one.params = [_without_the_type_of_a_flag(option) for option in one.params]
    return loaded


def _without_the_type_of_a_flag(option: Any) -> Any:  # noqa: ANN401 - types that typer keeps to itself
    """`--all <bool>`, as typer would have it, looks as if a value had to follow."""
    if getattr(option, "is_flag", False):
        option.metavar = ""
    return option
