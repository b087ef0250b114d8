"""What an emulator can be told at its start: the token it expects, its capabilities, where it keeps its log."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

Capability = Literal["ticket-info", "idempotency-key", "link-version", "read"]

CAPABILITIES: tuple[Capability, ...] = get_args(Capability)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The emulator's settings; without `data_dir` it remembers until it is stopped.

    `effect_log=False` spares a benchmark the log; nothing outlives the process then either, because the log is all that
    is kept. `requests_per_minute` None means no limit (the deployed cloud documents 100 per token).

    Raises:
        ValueError: the token is empty, or a capability is not one of `CAPABILITIES`.
    """

    token: str
    capabilities: frozenset[Capability] = frozenset(CAPABILITIES)
    data_dir: Path | None = None
    effect_log: bool = True
    key_life_s: float = 24 * 60 * 60
    body_limit_bytes: int = 16 * 1024 * 1024
    requests_per_minute: int | None = None

    def __post_init__(self) -> None:
        if not self.token:
            raise ValueError("the emulator's token must not be empty")
        capabilities_named(self.capabilities)


def capabilities_named(names: Iterable[str]) -> frozenset[Capability]:
    """The capabilities of these names.

    Raises:
        ValueError: a name that is not in `CAPABILITIES`; the message says which.
    """
    wanted = set(names)
    if unknown := sorted(wanted.difference(CAPABILITIES)):
        raise ValueError(f"unknown capability {unknown[0]!r}; known are {', '.join(CAPABILITIES)}")
    return frozenset(capability for capability in CAPABILITIES if capability in wanted)
