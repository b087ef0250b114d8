"""Finds out where the servers are: the stack in a data folder, else the environment.

In: --data-dir (or TICKETSYNC_DATA_DIR), whose stack.json `ticketsync up` wrote, or the settings of own servers. Out: an
address per server. A data folder decides alone, so that no stray variable of the environment mixes two systems; what is
missing is asked for by name when it is needed, and not before.
"""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from ops.exits import Misconfigured, Unreachable

if TYPE_CHECKING:
    from shared.kafka import KafkaSettings

Service = Literal["linker", "transfer", "cloud_updater"]
SERVICES: tuple[Service, ...] = get_args(Service)

# Keys of stack.json and the settings that say the same of own servers.
SETTING_OF_KEY = {
    "kafka_bootstrap_servers": "KAFKA_BOOTSTRAP_SERVERS",
    "linker_url": "LINKER_URL",
    "transfer_url": "TRANSFER_URL",
    "cloud_updater_url": "CLOUD_UPDATER_URL",
    "cloud_url": "CLOUDS_URL",
    "api_token": "API_TOKEN",
    "linker_database_url": "LINKER_DATABASE_URL",
    "transfer_database_url": "TRANSFER_DATABASE_URL",
    "cloud_updater_database_url": "CLOUD_UPDATER_DATABASE_URL",
}

# What a header can hold: no line break, no blank at either end, nothing that is not UTF-8.
_TOKEN = re.compile(r"[^\0\s\ud800-\udfff]+(?:[ \t]+[^\0\s\ud800-\udfff]+)*", re.ASCII)

SET_IT = "Set it, or name the folder of an embedded stack: --data-dir DIR (or TICKETSYNC_DATA_DIR)."


@dataclass(frozen=True)
class Addresses:
    """Where the servers are, by the keys of stack.json. `data_dir` is None if the environment said so."""

    data_dir: Path | None
    values: Mapping[str, str]

    def service_url(self, service: Service) -> str:
        """Base URL of a service's HTTP API, without a slash at the end."""
        return self._need(f"{service}_url").rstrip("/")

    def database_url(self, service: Service) -> str:
        """SQLAlchemy URL of a service's own database."""
        return self._need(f"{service}_database_url")

    @property
    def cloud_url(self) -> str:
        """Base URL of the cloud, or of its emulator."""
        return self._need("cloud_url").rstrip("/")

    @property
    def api_token(self) -> str:
        """Bearer token of the services' APIs. Raises Misconfigured, without saying it, if no header can hold it."""
        token = self._need("api_token")
        if not _TOKEN.fullmatch(token):
            raise Misconfigured(
                "API_TOKEN cannot be sent: it has a line break, a blank at an end, or bytes that are no text"
            )
        return token

    def kafka(self) -> "KafkaSettings":
        """How Kafka is reached; a data folder's Kafka listens on loopback without a password."""
        # On demand: most commands ask the services alone, and need no client of Kafka.
        from shared.kafka import KafkaSettings, plain  # noqa: PLC0415
        from shared.settings import ConfigurationError, load  # noqa: PLC0415

        if self.data_dir:
            return plain(self._need("kafka_bootstrap_servers"))
        try:
            return load(KafkaSettings)
        except ConfigurationError as error:
            raise Misconfigured(str(error), todo=SET_IT) from None

    def _need(self, key: str) -> str:
        if value := self.values.get(key):
            return value
        if self.data_dir:
            raise Misconfigured(f"{self.data_dir / 'stack.json'} has no {key}", todo="Start the stack again.")
        raise Misconfigured(f"{SETTING_OF_KEY[key]} is not set", todo=SET_IT)


def resolve(data_dir: Path | None) -> Addresses:
    """The addresses that a command uses. `data_dir` is what was given by --data-dir or TICKETSYNC_DATA_DIR, if any.

    Raises Unreachable if no stack runs in that folder, Misconfigured if a setting's file cannot be read.
    """
    if data_dir:
        return Addresses(data_dir, _stack(data_dir))
    values = {key: setting(name) for key, name in SETTING_OF_KEY.items()}
    return Addresses(None, {key: value for key, value in values.items() if value})


def setting(name: str) -> str | None:
    """The content of the file that NAME_FILE names, else a setting of the environment. Raises Misconfigured."""
    if not (path := os.environ.get(f"{name}_FILE")):
        return os.environ.get(name)
    return _content(Path(path), f"{name}_FILE")


def _content(file: Path, named_by: str) -> str:
    try:
        content = file.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise Misconfigured(f"{named_by}: {file} cannot be read: {error.strerror}") from None
    if not content:
        raise Misconfigured(f"{named_by}: {file} is empty")
    return content


def _stack(data_dir: Path) -> dict[str, str]:
    file = data_dir / "stack.json"
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise Unreachable(
            f"no stack is running in {data_dir} (there is no {file.name})",
            todo=f"Start it: ticketsync up --data-dir {data_dir}",
        ) from None
    except (OSError, ValueError) as error:
        raise Misconfigured(f"{file} cannot be read: {error}") from None
    if not isinstance(values, dict):
        raise Misconfigured(f"{file} is not a JSON object")
    found = {key: str(value) for key, value in values.items()}
    if token := found.get("api_token_file"):
        found["api_token"] = _content(Path(token), "api_token_file")
    return found
