"""Whatever keeps recordings from the cloud is seen by everybody who looks: in the status and in the metrics.

One stack whose cloud is not there at first, and refuses in one way after the other then. The last but one test leaves
transfer's lane without its route, which is tried once a minute; the last, a topic that is not read on.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from aiokafka import AIOKafkaProducer

from tests.emulator.running import TOKEN, Emulator, EmulatorProcess
from tests.ops.on_a_stack import Stack, recording, running
from tests.pipeline.running import eventually

pytestmark = [pytest.mark.stack, pytest.mark.timeout(180)]

WHY = "RecordingProcessed is not read on: "
NEXT_STEP = "DEAD_LETTER_LIMIT_PERCENT=100"
# More than fail in a row before the circuit opens, each in a folder of its own.
PUSHED = [f"pushed-{number}" for number in range(6)]
GAUGES_WITHIN_S = 40


@dataclass(frozen=True)
class Looks:
    """What everybody sees of one service's way to the cloud."""

    lane: dict[str, Any]
    readiness: dict[str, Any]
    metrics: str
    text: str


@dataclass(frozen=True)
class Site:
    """A stack, its cloud, and what was seen before there was a cloud."""

    stack: Stack
    cloud: Emulator
    before_the_cloud: Looks

    def metrics(self, service: str) -> str:
        return httpx.get(f"{self.stack.addresses[f'{service}_url']}/metrics", trust_env=False).text

    @contextmanager
    def refusing(self, fault: dict[str, object] | None) -> Iterator[None]:
        """None: the token that the services have is none of the cloud's any more, until they are given a good one."""
        token = self.stack.data_dir / "tokens" / "clouds_token"
        if fault is None:
            token.write_text("of-yesterday\n")
        else:
            self.cloud.arm(**fault, times=None)
        try:
            yield
        finally:
            token.write_text(f"{TOKEN}\n")
            self.cloud.control("DELETE", "faults")

    def link(self, ticket: str) -> None:
        for recording_id in PUSHED:
            assert self.stack("link", recording_id, "--ticket", ticket).code == 0


def look(stack: Stack, service: str, reason: str) -> Looks:
    """As soon as its lane is stopped for that reason."""
    url = stack.addresses[f"{service}_url"]

    def lane() -> dict[str, Any] | None:
        found: dict[str, Any] = stack("status", "--json").json["lanes"][service.replace("_", "-")]
        return found if found["reason"] == reason else None

    found = eventually(lane, within_s=60)
    readiness = httpx.get(f"{url}/readyz", trust_env=False).json()["lane"]
    return Looks(found, readiness, httpx.get(f"{url}/metrics", trust_env=False).text, stack("status").out)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    process = EmulatorProcess(tmp_path_factory.mktemp("cloud"))
    with running(tmp_path_factory.mktemp("stack"), "--cloud-url", process.url, "--cloud-token", TOKEN) as stack:
        at_first = look(stack, "transfer", "not_reached")
        process.start()
        try:
            with process.client() as cloud:
                stack.publish(*({**recording(one, "a.wav", True), "recording_id": one} for one in PUSHED))  # noqa: FBT003
                stack.settle()
                yield Site(stack, cloud, at_first)
        finally:
            process.stop()


@pytest.fixture(scope="module")
def stack(site: Site) -> Stack:
    return site.stack


def _shows(seen: Looks, service: str, reason: str) -> None:
    assert (seen.lane["open"], seen.lane["reason"], seen.readiness["reason"]) == (False, reason, reason)
    assert f"way to the cloud, {service.replace('_', '-')} stopped: {reason}, " in " ".join(seen.text.split())
    assert [
        line for line in seen.metrics.splitlines() if line.startswith("ticketsync_lane_stopped{") and " 1.0" in line
    ] == [f'ticketsync_lane_stopped{{reason="{reason}"}} 1.0']
    assert "ticketsync_lane_open 0.0" in seen.metrics


def test_a_cloud_that_was_never_reached_is_called_so(site: Site) -> None:
    _shows(site.before_the_cloud, "transfer", "not_reached")


@pytest.mark.parametrize(
    ("reason", "fault"),
    [
        ("unauthorized", None),
        ("rate_limited", {"route": "update_ticket", "status": 429}),
        ("circuit_open", {"route": "update_ticket", "status": 503}),
    ],
)
def test_why_a_lane_is_stopped_is_in_status_readiness_and_metrics(
    site: Site, reason: str, fault: dict[str, object] | None
) -> None:
    with site.refusing(fault):
        site.link(f"T-{reason}")
        seen = look(site.stack, "cloud_updater", reason)
        retrying = eventually(lambda: site.stack("status", "--json").json["blocked"]["retrying"] == len(PUSHED))
    site.stack.settle()

    _shows(seen, "cloud_updater", reason)
    assert retrying
    assert "ticketsync_lane_open 1.0" in site.metrics("cloud_updater")


def test_what_waits_for_a_person_is_counted_by_its_reason(site: Site) -> None:
    stack, refused, lost, unsure = site.stack, PUSHED[0], PUSHED[1], "unsure"
    lost_uuid = stack("status", lost, "--json").json["clouds_uuid"]
    site.cloud.delete(lost_uuid).raise_for_status()
    site.cloud.arm(route="update_ticket", status=422, filename="a.wav")
    assert stack("link", refused, "--ticket", "T-refused").code == 0
    eventually(lambda: stack("status", "--json").json["blocked"]["rejected"] == 1)
    assert stack("link", lost, "--ticket", "T-lost").code == 0
    site.cloud.arm(route="create", kind="close_after_effect", filename="unsure.wav")
    site.cloud.arm(route="create", status=422, filename="unsure.wav")
    stack.publish(recording(unsure, "unsure.wav", requires_ticket=False))
    kept = {"rejected": 1, "missing_in_cloud": 1, "outcome_unknown": 1, "retrying": 0}
    eventually(lambda: stack("status", "--json").json["blocked"] == kept, within_s=60)

    shown = stack("status")
    for service, reasons in (("cloud_updater", ("rejected", "missing_in_cloud")), ("transfer", ("outcome_unknown",))):
        for reason in reasons:
            gauge = f'ticketsync_blocked{{reason="{reason}"}} 1.0'
            eventually(lambda gauge=gauge, service=service: gauge in site.metrics(service), within_s=GAUGES_WITHIN_S)  # type: ignore[misc]

    for recording_id, reason in (
        (refused, "rejected"),
        (lost, "missing_in_cloud"),
        ("unsure/unsure.wav", "outcome_unknown"),
    ):
        assert stack("explain", recording_id, "--json").json["mend"], reason
        assert any(recording_id in line and reason in line for line in shown.out.splitlines()), shown.out
    _are_not_taken_for_nothing(stack, refused)
    assert stack("status", "--wait", "settled").code == 1
    [there] = [
        one["uuid"] for one in site.cloud.control("GET", "folders")["folders"] if one["folder"] == "unsure by name"
    ]
    assert stack("transfer", "exists-as", "--folder", unsure, "--yes", "--", there).code == 0
    assert stack("transfer", "retry", "--recording", lost, "--yes").code == 0
    site.cloud.arm(route="update_ticket", status=422, filename="a.wav")
    again = stack("resync", "--recording", refused, "--yes", "--json")
    assert (again.code, again.json["pushed"], again.json["refused"]) == (1, 0, 1)
    assert "acknowledged 0, refused 1\nWhich and why: ticketsync recordings --blocked any" in again.err
    assert "acknowledged 1, refused 0" in stack("resync", "--recording", refused, "--yes").out
    stack.settle()


def _are_not_taken_for_nothing(stack: Stack, refused: str) -> None:
    """Refused tickets are no uploads that wait, and whoever looks for those hears of them."""
    everything = stack("transfer", "list", "--json").json
    elsewhere = stack("transfer", "list", "--folder", PUSHED[2])
    listed = {
        words: (stack("transfer", "list", *words.split()), stack("transfer", "list", *words.split(), "--json").json)
        for words in ("--reason rejected", f"--folder {refused}", f"--recording {refused}")
    }

    assert everything["refused_tickets"] == 1
    assert "recordings --blocked rejected" not in elsewhere.err
    for shown, as_json in listed.values():
        assert (shown.code, as_json["recordings"], as_json["refused_tickets"]) == (0, [], 1)
        assert "whose ticket it refuses: 1. Which and why: ticketsync recordings --blocked rejected" in shown.err


def test_a_route_that_is_not_there_is_called_so(site: Site) -> None:
    # For good: what was refused once is tried again after a second.
    site.cloud.arm(route="create", status=404, times=None)
    site.stack.publish(recording("nowhere", "a.wav", requires_ticket=False))

    _shows(look(site.stack, "transfer", "no_route"), "transfer", "no_route")


async def _publish(servers: str, *, number: int) -> None:
    """To one partition, as a publisher that was given another format."""
    async with AIOKafkaProducer(bootstrap_servers=servers, linger_ms=50) as producer:
        sent = [
            await producer.send("RecordingProcessed", b'{"id": 1}', key=b"%d" % n, partition=0) for n in range(number)
        ]
        await asyncio.gather(*sent)


def test_readiness_doctor_status_metrics_and_log_say_why_and_what_to_do(stack: Stack) -> None:
    def stopped() -> bool:
        return bool(httpx.get(f"{stack.addresses['linker_url']}/readyz", trust_env=False).json()["stopped"])

    asyncio.run(_publish(stack.addresses["kafka_bootstrap_servers"], number=400))
    eventually(stopped)

    ready = httpx.get(f"{stack.addresses['linker_url']}/readyz", trust_env=False)
    doctor, status = stack("doctor", "--json"), stack("status", "--json")
    said = stack("status").err
    metrics = httpx.get(f"{stack.addresses['linker_url']}/metrics", trust_env=False).text
    log = (stack.data_dir / "logs" / "linker.log").read_text()
    assert ready.status_code == 503
    [why] = ready.json()["stopped"]
    assert why.startswith(WHY)
    assert why.endswith(NEXT_STEP)
    assert doctor.code == 1
    found = {check["name"]: check["found"] for check in doctor.json["checks"]}
    assert found["linker"].startswith(WHY)
    assert found["cloud-updater"] == "ready"
    assert {one.partition(":")[0] for one in status.json["stopped_topics"]} <= {"linker", "transfer"}
    assert f"linker: {WHY}" in " ".join(said.split())
    assert 'ticketsync_topic_stopped{topic="RecordingProcessed"} 1.0' in metrics
    assert [line for line in log.splitlines() if '"level": "error"' in line and WHY in line]
    assert status.json["dead_letters"] < 200
