"""docs/metrics.md names every metric that there is, with its labels and its own words, and no other.

The alarms of the runbook and the rules for Prometheus are one list, and of metrics that there are.
"""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.metrics import MetricWrapperBase

from services.linker import watch_parked, watch_states
from shared import metrics

DOCS = Path(__file__).parents[1] / "docs"
DOCUMENT = DOCS / "metrics.md"
RUNBOOK = (DOCS / "operations.md").read_text()
RULES = DOCS / "examples" / "prometheus" / "ticketsync.rules.yml"
ALARM = re.compile(r"^\| (Ticketsync\w+) \| (.+?) \| .+ \| \[.+\]\(#([\w-]+)\) \|$", re.MULTILINE)
METRIC = re.compile(r"ticketsync_\w+")
# What is no metric of the services: their readiness as the blackbox exporter reports it.
READINESS = {"`/readyz`": "probe_success"}
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


def rules() -> dict[str, dict[str, Any]]:
    """By the name of their alarm."""
    [group] = yaml.safe_load(RULES.read_text())["groups"]
    found = {one["alert"]: one for one in group["rules"]}
    assert len(found) == len(group["rules"])
    return found


def alarms() -> dict[str, tuple[str, str]]:
    """Of the runbook: when each rings, and the entry to go to."""
    return {name: (when, entry) for name, when, entry in ALARM.findall(RUNBOOK)}


def test_every_alarm_of_the_runbook_is_a_rule_and_the_other_way_round() -> None:
    assert len(alarms()) == RUNBOOK.count("\n| Ticketsync")
    assert alarms().keys() == rules().keys()


@pytest.mark.parametrize("name", rules())
def test_an_alarm_rings_for_the_metric_and_leads_to_the_entry_that_the_runbook_says(name: str) -> None:
    rule = rules()[name]
    when, entry = alarms()[name]
    metrics_named = {one for family, _, _ in declared() for one in (family, f"{family}_total")}
    anchors = {
        re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")
        for title in re.findall(r"^## (.+)$", RUNBOOK, re.MULTILINE)
    }

    told = set(METRIC.findall(when)) or {probe for word, probe in READINESS.items() if word in when}

    assert set(METRIC.findall(rule["expr"])) <= metrics_named
    assert told
    assert all(one in rule["expr"] for one in told)
    assert rule["annotations"]["runbook"] == entry
    assert entry in anchors
    assert rule["annotations"]["summary"]
