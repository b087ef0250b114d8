"""Settings: read once from the environment, checked before anything starts.

Every setting is an environment variable of its own name; a secret may come from a file instead (`NAME_FILE`), which is
read at each start. What is missing or wrong ends the process with exit code 78 and the setting's name: a service that
guesses its configuration would write into somebody else's database.
"""

import os
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

from pydantic import AfterValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

EXIT_CONFIGURATION = 78

Settings = TypeVar("Settings", bound=BaseSettings)


class ConfigurationError(Exception):
    """The configuration is missing or wrong; the message names the setting and the next step."""


def check_database_url(value: str) -> None:
    """Raise ValueError, without the value in it, unless this is the address of a database that the services can use."""
    # On demand: commands that read other settings need not wait for it.
    from sqlalchemy import make_url  # noqa: PLC0415
    from sqlalchemy.exc import ArgumentError  # noqa: PLC0415

    try:
        usable = make_url(value).drivername == "postgresql+asyncpg"
    except (ArgumentError, ValueError):
        usable = False
    if not usable:
        raise ValueError("must be postgresql+asyncpg://user:password@host:port/database")


def _usable(value: SecretStr) -> SecretStr:
    check_database_url(value.get_secret_value())
    return value


DatabaseUrl = Annotated[SecretStr, AfterValidator(_usable)]
BatchRecords = Annotated[
    int,
    Field(
        ge=1, le=20_000, description="Records folded in one transaction at most, per topic; `4000` in cloud_updater."
    ),
]


class CommonSettings(BaseSettings):
    """What every service needs, whatever it does."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", populate_by_name=True, env_ignore_empty=True)

    api_token: Annotated[
        SecretStr, Field(min_length=1, description="Bearer token that callers of this service's HTTP API present.")
    ]
    api_token_previous: SecretStr | None = Field(
        None,
        min_length=1,
        description="A second token that is good as well, while callers change over to a new API_TOKEN.",
    )
    api_requests_per_minute: int = Field(
        30_000, ge=1, description="Requests a minute that one token, or one address without, may make to a process."
    )
    api_max_request_bytes: int = Field(
        50_000_000, gt=0, description="Largest request body that the HTTP API reads; a spreadsheet is the largest."
    )
    log_level: str = Field("INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$", description="Least severe log line written.")
    database_pool_size: int = Field(
        12, ge=4, le=100, description="Database connections that one process holds at most."
    )
    fold_batch_records: BatchRecords = 2_000
    dead_letter_limit_percent: int = Field(
        50,
        ge=1,
        le=100,
        description="Of a topic's last 1,000 records, how many in a hundred may become dead letters (fewer than 100 "
        "always may); with more the topic is not read on. 100: no limit.",
    )
    announce_again_s: float = Field(
        30.0, gt=0, description="Seconds after which a published fact that was not heard again is published once more."
    )
    lease_s: float = Field(
        45.0, gt=0, description="Seconds a claimed folder stays with its worker; longer than CLOUD_TIMEOUT_S."
    )


def load(settings: type[Settings]) -> Settings:
    """Read `settings` from the environment and from `NAME_FILE` files.

    Raises ConfigurationError naming every setting that is missing or wrong, never its value.
    """
    from_files: dict[str, Any] = {}
    for name, field in settings.model_fields.items():
        variable = f"{str(field.validation_alias or name).upper()}_FILE"
        path = os.environ.get(variable)
        if path and field.annotation in {SecretStr, SecretStr | None}:
            try:
                from_files[name] = Path(path).read_text().strip()
            except OSError as error:
                raise ConfigurationError(f"{variable}: {path} cannot be read: {error.strerror}") from error
    try:
        return settings(**from_files)
    except ValidationError as error:
        wrong = "; ".join(
            _in_words(settings, problem["loc"], problem["msg"].removeprefix("Value error, "))
            for problem in error.errors()
        )
        raise ConfigurationError(wrong) from None


def _in_words(settings: type[BaseSettings], location: tuple[int | str, ...], message: str) -> str:
    name = str(location[0]) if location else "settings"
    field = settings.model_fields.get(name)
    variable = str(field.validation_alias or name).upper() if field else name.upper()
    if message == "Field required":
        message = "is not set" + (f": {field.description}" if field and field.description else "")
    return f"{variable} {message}"


def refuse(error: ConfigurationError) -> NoReturn:
    """End the process as misconfigured."""
    raise SystemExit(EXIT_CONFIGURATION) from error
