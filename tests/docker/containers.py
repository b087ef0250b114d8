"""The system of docker-compose.yml under a project name of its own, and what a test asks of it.

Everything goes through the commands `docker-compose` (or `docker compose`) and `docker`, as its users' hands do. Ports
are free ones, volumes and network belong to the project, and `down` takes all of it away again.
"""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[2]
FILES = ("docker-compose.yml", "tests/docker/docker-compose.override.yml")
IMAGES = ("python:3.11-slim-bookworm", "postgres:17", "apache/kafka:4.3.1")
IMAGE = "ticketsync-test"
BUILT_WITHIN_S = 600
STARTED_WITHIN_S = 300
DONE_WITHIN_S = 120
LOOK_EVERY_S = 0.5

Json = dict[str, Any]


def why_not() -> str | None:
    """Why these tests cannot run on this machine, in words; None if they can. Nothing is ever pulled."""
    if _compose() is None:
        return "neither docker-compose nor docker compose is installed"
    if not _succeeds("docker", "info"):
        return "no Docker Engine answers (DOCKER_HOST says where it is)"
    missing = [image for image in IMAGES if not _succeeds("docker", "image", "inspect", image)]
    return f"the Docker Engine has no image {', '.join(missing)}" if missing else None


class Containers:
    """One project. `settings` are those of .env.example that differ from their defaults."""

    def __init__(self, project: str, settings: Mapping[str, str], *, env_file: Path) -> None:
        self.project = project
        # An .env beside docker-compose.yml, and settings around the test run, are the developer's and not the test's.
        env_file.touch()
        files = [part for file in FILES for part in ("--file", str(REPOSITORY / file))]
        self._compose = (*(_compose() or ()), "--env-file", str(env_file), "--project-name", project, *files)
        known = {
            "PATH",
            "HOME",
            "DOCKER_HOST",
            "DOCKER_CONTEXT",
            "DOCKER_CONFIG",
            "DOCKER_CERT_PATH",
            "DOCKER_TLS_VERIFY",
        }
        self._environment = {name: value for name, value in os.environ.items() if name in known} | dict(settings)

    def up(self, **copies: int) -> None:
        """Build the image, start everything, and wait until all of it is healthy."""
        self.compose("build", "linker", within_s=BUILT_WITHIN_S)  # the others run the same image
        self.start(**copies)

    def start(self, **copies: int) -> None:
        """Start what is not running, so many copies of a service, and wait until all of it is healthy."""
        scale = [part for service, number in copies.items() for part in ("--scale", f"{service}={number}")]
        self.compose("up", "--detach", "--no-build", *scale, within_s=STARTED_WITHIN_S)
        eventually(self._all_healthy, within_s=STARTED_WITHIN_S, otherwise=self.words)

    def down(self) -> None:
        """Take everything away, data too."""
        self.compose("down", "--volumes", "--remove-orphans", "--timeout", "20", within_s=DONE_WITHIN_S)

    def compose(self, *arguments: str, within_s: float = DONE_WITHIN_S) -> str:
        """What the compose command printed on stdout; it must succeed."""
        return _run(*self._compose, *arguments, within_s=within_s, environment=self._environment)

    def execute(self, service: str, *command: str) -> subprocess.CompletedProcess[str]:
        """A command in the (first) container of a service."""
        name = self.inspect(service)[0]["Name"].lstrip("/")
        return subprocess.run(
            ["docker", "exec", name, *command], capture_output=True, text=True, timeout=DONE_WITHIN_S, check=False
        )

    def inspect(self, service: str | None = None) -> list[Json]:
        """What the engine says of the containers of a service, or of all that `up` started."""
        labels = [f"com.docker.compose.project={self.project}", "com.docker.compose.oneoff=False"]
        labels += [f"com.docker.compose.service={service}"] if service else []
        filters = [part for label in labels for part in ("--filter", f"label={label}")]
        ids = _run("docker", "ps", "--all", "--quiet", *filters).split()
        if not ids:
            return []
        found: list[Json] = json.loads(_run("docker", "inspect", *ids))
        return sorted(found, key=lambda one: str(one["Name"]))

    def urls(self, service: str, port: int) -> list[str]:
        """The address of each container of a service, from outside."""
        published = [one["NetworkSettings"]["Ports"][f"{port}/tcp"][0] for one in self.inspect(service)]
        return [f"http://{one['HostIp']}:{one['HostPort']}" for one in published]

    def words(self) -> str:
        """The last that the containers said, for the message of a failed test."""
        return self.compose("ps") + self.compose("logs", "--no-color", "--tail", "30")

    def _all_healthy(self) -> bool:
        states = [one["State"] for one in self.inspect()]
        broken = [state for state in states if state["Status"] == "exited" and state["ExitCode"] != 0]
        assert not broken, self.words()
        return all(
            state["Status"] == "exited" or state.get("Health", {}).get("Status") == "healthy" for state in states
        )


def eventually(condition: Callable[[], bool], *, within_s: float, otherwise: Callable[[], str]) -> None:
    """Wait until the condition holds; `otherwise` says why it did not."""
    give_up_at = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < give_up_at, otherwise()
        time.sleep(LOOK_EVERY_S)


def _compose() -> tuple[str, ...] | None:
    if _succeeds("docker", "compose", "version"):
        return ("docker", "compose")
    return ("docker-compose",) if shutil.which("docker-compose") else None


def _succeeds(*command: str) -> bool:
    try:
        return subprocess.run(command, capture_output=True, timeout=20, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def _run(*command: str, within_s: float = DONE_WITHIN_S, environment: Mapping[str, str] | None = None) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=within_s, check=False, env=environment)
    assert done.returncode == 0, (command, done.stdout[-4000:], done.stderr[-4000:])
    return done.stdout
