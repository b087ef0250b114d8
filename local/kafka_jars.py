"""Kafka's jars: fetched once, checked, then kept in the user's cache folder.

Which jars, and what they must contain, stands in `kafka-jars.sha256`; nothing is resolved or chosen at run time.
The finished folder appears by one rename after every sum has been found right, so it is complete or not there,
also when two processes want it at once. Once it is there no network is needed.
"""

import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from jgo.maven import MavenContext

from local.once import made_once

KAFKA_VERSION = "4.3.1"
SUMS = Path(__file__).with_name("kafka-jars.sha256")
FETCH_TIMEOUT_S = 15  # without a byte
FETCH_ATTEMPTS = 3
FETCHES_AT_ONCE = 8


class JarsUnavailableError(Exception):
    """A jar could not be fetched, or is not the one that `kafka-jars.sha256` names."""


@dataclass(frozen=True)
class Jar:
    """One pinned jar: the SHA-256 of the file in hexadecimal, and its Maven coordinates."""

    sha256: str
    group: str
    artifact: str
    version: str

    @property
    def filename(self) -> str:
        """The name the file has in the cache folder; unique among the pinned jars."""
        return f"{self.artifact}-{self.version}.jar"


def kafka_jars(*, say: Callable[[str], None]) -> list[Path]:
    """The paths of all jars, fetched first if this user has never had them.

    Raises JarsUnavailableError if they are not cached and cannot be fetched intact.
    """
    jars = pinned_jars()
    folder = _cache_folder() / f"kafka-{KAFKA_VERSION}"
    paths = [folder / jar.filename for jar in jars]

    def fetch() -> None:
        say(f"fetching Kafka {KAFKA_VERSION} ({len(jars)} jars, about 44 MB; only this once)")
        _build(folder, jars)

    made_once(folder.with_name(f"{folder.name}.lock"), is_there=lambda: _complete(paths), make=fetch)
    return paths


def pinned_jars() -> list[Jar]:
    """What `kafka-jars.sha256` lists, in its order."""
    lines = (line for line in SUMS.read_text().splitlines() if not line.startswith("#"))
    entries = (line.split() for line in lines)
    return [Jar(sha256, *coordinates.split(":")) for sha256, coordinates in entries]


def check(jar: Jar, path: Path) -> Path:
    """The path again, if the file is the pinned one; raises JarsUnavailableError if it is another."""
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != jar.sha256:
        raise JarsUnavailableError(f"{jar.filename} is not the pinned file: SHA-256 {found}, expected {jar.sha256}")
    return path


def _cache_folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ticketsync"


def _complete(paths: list[Path]) -> bool:
    return all(path.is_file() for path in paths)


def _build(folder: Path, jars: list[Jar]) -> None:
    for unfinished in folder.parent.glob(f"{folder.name}.*/"):  # of a process that was killed at this
        shutil.rmtree(unfinished, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f"{folder.name}.") as scratch:
        finished = Path(scratch, "finished")
        finished.mkdir()
        # Repositories of their own: what other tools left in the user's Maven cache is neither trusted nor changed.
        repositories = [Path(scratch, jar.filename) for jar in jars]
        with ThreadPoolExecutor(FETCHES_AT_ONCE) as pool:
            for jar, fetched in zip(jars, pool.map(_fetch, jars, repositories), strict=True):
                fetched.rename(finished / jar.filename)
        shutil.rmtree(folder, ignore_errors=True)  # only ever an incomplete one stands here
        finished.rename(folder)


def _fetch(jar: Jar, repository: Path) -> Path:
    maven = MavenContext(repo_cache=repository, timeout=FETCH_TIMEOUT_S)
    artifact = maven.project(jar.group, jar.artifact).at_version(jar.version).artifact()
    for attempt in range(1, FETCH_ATTEMPTS + 1):
        try:
            return check(jar, Path(artifact.resolve()))
        except (OSError, RuntimeError) as error:
            if attempt == FETCH_ATTEMPTS:
                raise JarsUnavailableError(f"{jar.filename} could not be fetched: {error}") from error
            shutil.rmtree(repository, ignore_errors=True)  # a part of the file would be taken for the whole
            time.sleep(attempt)
    raise AssertionError("the last attempt returns or raises")
