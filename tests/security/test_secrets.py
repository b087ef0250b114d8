"""A secret is shown by nothing that holds it: not by its repr, not by an error about it, not by a refused start."""

import traceback

import pytest
from pydantic import SecretStr
from pydantic_settings import BaseSettings

from services.cloud_updater.settings import CloudUpdaterSettings
from services.linker.settings import LinkerSettings
from services.transfer.settings import TransferSettings
from shared.cloud import Cloud, CloudSettings, token_reader
from shared.database import Database
from shared.kafka import KafkaSettings
from shared.producer import Producer
from shared.settings import ConfigurationError, load
from tests.ops.commands import ticketsync

CANARY = "canary-secret"
SETTINGS: tuple[type[BaseSettings], ...] = (
    LinkerSettings,
    TransferSettings,
    CloudUpdaterSettings,
    CloudSettings,
    KafkaSettings,
)
OTHERS = {
    "CLOUDS_URL": "https://cloud.example.com",
    "KAFKA_BOOTSTRAP_SERVERS": "kafka:9092",
    "KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
    "KAFKA_SASL_USERNAME": "linker",
}


def secrets_of(settings: type[BaseSettings]) -> list[str]:
    return [
        name.upper()
        for name, field in settings.model_fields.items()
        if field.annotation in {SecretStr, SecretStr | None}
    ]


@pytest.mark.parametrize("settings", SETTINGS)
def test_settings_show_no_secret_whether_they_are_right_or_wrong(
    settings: type[BaseSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in OTHERS.items():
        monkeypatch.setenv(name, value)
    for name in secrets_of(settings):
        monkeypatch.setenv(name, f"postgresql+asyncpg://u:{CANARY}@db/d" if name.endswith("_URL") else CANARY)
    shown = load(settings)
    # Wrong in every field that is no secret, and one that cannot be a header.
    for name in set(settings.model_fields) - {name.lower() for name in secrets_of(settings)}:
        monkeypatch.setenv(name.upper(), f"{CANARY}\n")
    for name in secrets_of(settings):
        monkeypatch.setenv(name, f"{CANARY}\n{CANARY}")
    with pytest.raises(ConfigurationError) as refused:
        load(settings)

    assert secrets_of(settings)
    assert CANARY not in f"{shown!r} {shown} {refused.value!r} {''.join(traceback.format_exception(refused.value))}"


def test_whatever_holds_a_secret_shows_none() -> None:
    cloud = CloudSettings(clouds_url="https://cloud.example.com", clouds_token=SecretStr(CANARY))
    kafka = KafkaSettings(kafka_bootstrap_servers="kafka:9092", kafka_sasl_password=SecretStr(CANARY))
    database = Database(f"postgresql+asyncpg://linker:{CANARY}@db/linker")
    holders = (
        Cloud(cloud, token=token_reader(cloud)),
        Producer(kafka, client_id="test"),
        database,
        database.url,
        database._engine,
    )

    assert CANARY not in " ".join(f"{one!r} {one} {vars(one) if hasattr(one, '__dict__') else ''}" for one in holders)


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql+asyncpg://linker:{CANARY}@127.0.0.1:9/linker",
        f"postgresql+asyncpg://linker:{CANARY}@127.0.0.1:port/linker",
        f"linker:{CANARY}@127.0.0.1",
        f"mysql://linker:{CANARY}@127.0.0.1/linker",
    ],
)
def test_a_start_that_is_refused_does_not_say_the_databases_password(url: str) -> None:
    settings = {**OTHERS, "KAFKA_SASL_PASSWORD": CANARY, "API_TOKEN": CANARY, "LINKER_DATABASE_URL": url}

    ended = ticketsync("run", "linker", "--port", "1", settings=settings)

    assert ended.code in {69, 78}
    assert "LINKER_DATABASE_URL" in ended.err
    assert CANARY not in ended.out + ended.err
