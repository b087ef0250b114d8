"""docs/reliability.md lists every deliberate bug, and none that is not there."""

import re
from pathlib import Path

from tests.faults.bugs import PROCESS_BUGS
from tests.simulation.bugs import BUGS
from tests.simulation.sql_bugs import SQL_BUGS

DOCUMENT = Path(__file__).parents[1] / "docs" / "reliability.md"


def test_every_deliberate_bug_is_in_the_table() -> None:
    table = DOCUMENT.read_text().partition("## Deliberate bugs")[2].partition("\n## ")[0]

    named = re.findall(r"^\| ([^|]+) \| [^|]+ \| [^|]+ \|$", table, flags=re.MULTILINE)[1:]

    assert [one for one in named if one != "---"] == [
        *(bug.name for bug in BUGS),
        *(bug.name for bug in SQL_BUGS),
        *PROCESS_BUGS,
    ]
