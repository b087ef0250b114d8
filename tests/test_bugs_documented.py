"""docs/reliability.md lists every deliberate bug with what notices it, and names no test that is not there."""

import re
from pathlib import Path

from tests.faults.bugs import PROCESS_BUGS
from tests.faults.classes import CLASSES
from tests.simulation.bugs import BUGS
from tests.simulation.sql_bugs import RULES

TESTS = Path(__file__).parent
DOCUMENT = TESTS.parent / "docs" / "reliability.md"


def test_every_deliberate_bug_is_in_the_table_with_what_notices_it() -> None:
    table = DOCUMENT.read_text().partition("## Deliberate bugs")[2].partition("\n## ")[0]

    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", table, flags=re.MULTILINE)[2:]

    assert rows == [
        *((bug.name, bug.what, f"simulation, first {bug.seeds} seeds", bug.breaks) for bug in BUGS),
        *(
            (name, bug.what, f"faults on real processes: {', '.join(bug.only)}", bug.breaks)
            for name, bug in PROCESS_BUGS.items()
        ),
    ]
    assert re.findall(r"^\| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", table, flags=re.MULTILINE)[2:] == [
        (rule.name, rule.without, rule.situation.__name__.replace("_", " ")) for rule in RULES
    ]
    assert {one for bug in PROCESS_BUGS.values() for one in bug.only} <= CLASSES.keys()


def test_every_test_that_is_named_is_there() -> None:
    texts = [file.read_text() for file in TESTS.rglob("test_*.py")]
    there = {name for text in texts for name in re.findall(r"^(?:async )?def (test_\w+)", text, re.MULTILINE)}

    named = re.findall(r"`(test_\w+)`", DOCUMENT.read_text())

    assert len(named) > 30
    assert [one for one in named if one not in there] == []


def test_every_class_of_faults_that_is_named_is_one() -> None:
    named = re.findall(r"the class `([^`]+)`", DOCUMENT.read_text())

    assert named
    assert [one for one in named if one not in CLASSES] == []
