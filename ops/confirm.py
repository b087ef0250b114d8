"""Asks before something is done that concerns many; only a person at a terminal is asked.

Where nobody can answer, and where a script reads JSON, nothing is asked: --yes has to be given, and exit 2 says so.
Ctrl-C at the question ends the command as it does everywhere, with 130.
"""

import sys

import typer

from ops.exits import Finding, WrongInput


def confirm(question: str, *, yes: bool, json: bool) -> None:
    """Go on if the answer is yes. Raises WrongInput where nobody can be asked, Finding if the answer is no."""
    if yes:
        return
    if json or not sys.stdin.isatty():
        raise WrongInput(f"{question} Nobody can be asked here, so say --yes")
    try:
        agreed = typer.confirm(question, err=True)
    except typer.Abort as end:
        if isinstance(end.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        agreed = False  # the terminal's end, Ctrl-D
    if not agreed:
        raise Finding("nothing was done")
