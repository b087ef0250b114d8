"""docs/metrics.md names every metric that there is, with its labels and its own words, and no other."""

import re
from pathlib import Path

from prometheus_client.metrics import MetricWrapperBase

from services.linker import watch_parked, watch_states
from shared import metrics

DOCUMENT = Path(__file__).parents[1] / "docs" / "metrics.md"
ROW = re.compile(r"\| `(ticketsync_\w+)` \| ([\w, ]*) ?\| [\w, ]+ \| (.+) \|")


def declared() -> set[tuple[str, str, str]]:
    found = [one for room in (metrics, watch_parked, watch_states) for one in vars(room).values()]
    return {
        (family.name, ", ".join(one._labelnames), family.documentation)
        for one in found
        if isinstance(one, MetricWrapperBase)
        for family in one.describe()
    }


def test_every_metric_is_documented_as_it_is() -> None:
    documented = {(name, labels.strip(), meaning) for name, labels, meaning in ROW.findall(DOCUMENT.read_text())}

    assert documented == declared()
