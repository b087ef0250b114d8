"""The `ticketsync` command: what operators and scripts use. One file per command; `ops.main` lists them all."""

import sys

# httpx loads a command line of its own, with a library that colours source text: a tenth of the time that our commands
# take to start. It does without, as where that library is not installed.
sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]
