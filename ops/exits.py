"""How a command ends: the exit codes that scripts rely on, and the errors that lead to them.

A command that cannot do what it was asked raises one of these with a message for a person and, where there is one, the
next step; `ops.main` prints it and exits. Anything else that escapes a command is a bug and may show its traceback.
"""

from enum import IntEnum


class Exit(IntEnum):
    """Exit codes; 69 and 78 are those of sysexits.h."""

    OK = 0
    FINDING = 1
    USAGE = 2
    UNREACHABLE = 69
    CONFIGURATION = 78


class Stop(Exception):
    """Ends the command with `code`, telling `message` and what to do about it."""

    code = Exit.FINDING

    def __init__(self, message: str, *, todo: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.todo = todo


class Finding(Stop):
    """The command worked and found something that needs a look."""


class WrongInput(Stop):
    """What was given makes no sense; nothing was done."""

    code = Exit.USAGE


class Unreachable(Stop):
    """A server does not answer, or not as it should."""

    code = Exit.UNREACHABLE


class Misconfigured(Stop):
    """A setting is missing or wrong; the message names it."""

    code = Exit.CONFIGURATION
