"""A site of genuine servers and processes, broken while it works: every promise is kept, and every fault was seen."""

from pathlib import Path

import pytest

from tests.faults.classes import CLASSES, SHORT
from tests.faults.perform import all_in_some_order, perform

# Even: the cloud takes whatever comes last, so the order is for the services to keep.
SEED = 20


@pytest.mark.stack
@pytest.mark.long
@pytest.mark.timeout(900)
async def test_whatever_is_broken_the_promises_are_kept(tmp_path: Path) -> None:
    report = await perform(tmp_path / "site", SEED, SHORT, say=print)

    assert report.good, report.in_words(tmp_path / "site" / "logs")


def test_the_short_form_knows_its_classes() -> None:
    assert {name for group in SHORT for name in group} <= CLASSES.keys()


def test_a_seed_decides_the_order_and_leaves_nothing_out() -> None:
    order = all_in_some_order(7)

    assert order == all_in_some_order(7) != all_in_some_order(8)
    assert {name for [name] in order} == CLASSES.keys()
