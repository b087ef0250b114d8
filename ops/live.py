"""Looks again and again until Ctrl-C, for `--watch`: a picture that moves on a terminal, lines elsewhere.

With --json each look is one object on a line of its own, written out at once, so that a script can read along. A server
that is away for a moment is told of and asked again: whoever watches wants to see it come back.
"""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Annotated, Any, Generic, TypeVar

import typer
from rich.console import Group, RenderableType

from ops import show
from ops.exits import Unreachable, WrongInput

Seen = TypeVar("Seen")

Watch = Annotated[bool, typer.Option("--watch", help="Look again and again until Ctrl-C.")]
Every = Annotated[
    float | None,
    typer.Option(
        "--every", min=0.1, max=3600, help="Seconds between two looks of --watch; default: 2.", show_default=False
    ),
]
EVERY_S = 2.0


def check(*, watch: bool, every: float | None) -> None:
    """Raises WrongInput if --every would do nothing."""
    if every is not None and not watch:
        raise WrongInput("--every is the time between two looks of --watch; say --watch as well")


@dataclass(frozen=True)
class Watched(Generic[Seen]):
    """What is looked at, and how it is shown: as JSON, as a picture, in one line."""

    look: Callable[[], Awaitable[Seen]]
    as_json: Callable[[Seen], dict[str, Any]]
    as_picture: Callable[[Seen], Sequence[RenderableType]]
    as_line: Callable[[Seen], str]


async def watch(watched: Watched[Seen], *, every: float | None, json_lines: bool) -> None:
    """Until it is cancelled."""
    # On demand: whoever looks once needs nothing that moves.
    from rich.live import Live  # noqa: PLC0415

    console = show.out()
    moving = console.is_terminal and not json_lines
    live: AbstractContextManager[Live | None] = Live(console=console, auto_refresh=False) if moving else nullcontext()
    with live as picture:
        while True:
            try:
                seen = await watched.look()
            except Unreachable as error:
                show.note(error.message)
            else:
                if picture is not None:
                    picture.update(Group(*watched.as_picture(seen)), refresh=True)
                else:
                    _say(watched, seen, json_lines=json_lines)
            await asyncio.sleep(every or EVERY_S)


def _say(watched: Watched[Seen], seen: Seen, *, json_lines: bool) -> None:
    if json_lines:
        sys.stdout.write(json.dumps(watched.as_json(seen)) + "\n")
    else:
        show.out().print(show.plain(watched.as_line(seen)), highlight=False, soft_wrap=True)
    sys.stdout.flush()
