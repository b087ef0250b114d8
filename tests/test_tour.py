"""docs/tour.md leads through files that are there, and every event that a service consumes has a room of its own."""

import re
from pathlib import Path

import pytest

from schemas.topics import TOPICS

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    "document", ["docs/tour.md", "README.md", "docs/cloud.md", "docs/reliability.md", "docs/security.md"]
)
def test_every_path_that_is_named_exists(document: str) -> None:
    rooms = "services|shared|schemas|ops|local|bench|docs|tests"
    named = re.findall(rf"`((?:{rooms})/[\w/.-]+)`", (ROOT / document).read_text())

    assert [path for path in named if not (ROOT / path).exists()] == []


def test_the_tour_names_the_rooms() -> None:
    tour = (ROOT / "docs/tour.md").read_text()

    assert len(re.findall(r"`services/[\w/]+\.py`", tour)) >= 10


@pytest.mark.parametrize("service", ["linker", "transfer", "cloud_updater"])
def test_a_service_has_one_file_for_each_event_that_it_consumes(service: str) -> None:
    consumed = {topic.name for topic in TOPICS if service in topic.consumers}
    rooms = {
        "".join(word.capitalize() for word in path.stem.removeprefix("on_").split("_"))
        for path in (ROOT / "services" / service).glob("on_*.py")
    }

    assert rooms == consumed
