"""Settings come from the environment or from a secret's file; what is wrong is named, and its value never shown."""

from pathlib import Path
from typing import Annotated

import pytest
from pydantic import Field, SecretStr

from shared.settings import CommonSettings, ConfigurationError, load


class OwnSettings(CommonSettings):
    own_database_url: Annotated[SecretStr, Field(description="Where the database is.")]
    own_number: int = Field(3, ge=1, description="Any number.")


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("API_TOKEN", "API_TOKEN_PREVIOUS", "OWN_DATABASE_URL", "OWN_NUMBER", "LOG_LEVEL"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(f"{name}_FILE", raising=False)


def test_they_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_TOKEN", "t")
    monkeypatch.setenv("OWN_DATABASE_URL", "postgresql://x")
    monkeypatch.setenv("OWN_NUMBER", "7")

    settings = load(OwnSettings)

    assert (settings.own_number, settings.own_database_url.get_secret_value()) == (7, "postgresql://x")


def test_an_empty_value_is_no_value(monkeypatch: pytest.MonkeyPatch) -> None:
    """As docker-compose passes what is not set."""
    monkeypatch.setenv("API_TOKEN", "t")
    monkeypatch.setenv("OWN_DATABASE_URL", "")
    monkeypatch.setenv("OWN_NUMBER", "")

    with pytest.raises(ConfigurationError, match=r"^OWN_DATABASE_URL is not set: Where the database is\.$"):
        load(OwnSettings)


def test_a_secret_may_stand_in_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("from the file\n")
    monkeypatch.setenv("API_TOKEN_FILE", str(tmp_path / "token"))
    monkeypatch.setenv("OWN_DATABASE_URL", "postgresql://x")

    assert load(OwnSettings).api_token.get_secret_value() == "from the file"


def test_the_token_that_is_on_its_way_out_may_stand_in_a_file_and_not_be_empty(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("API_TOKEN", "t")
    monkeypatch.setenv("OWN_DATABASE_URL", "postgresql://x")
    monkeypatch.setenv("API_TOKEN_PREVIOUS_FILE", str(tmp_path / "token"))

    (tmp_path / "token").write_text("the one before\n")
    previous = load(OwnSettings).api_token_previous
    (tmp_path / "token").write_text("\n")
    with pytest.raises(ConfigurationError, match=r"^API_TOKEN_PREVIOUS "):
        load(OwnSettings)

    assert previous is not None
    assert previous.get_secret_value() == "the one before"


def test_a_file_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("API_TOKEN_FILE", str(tmp_path / "nothing"))

    with pytest.raises(ConfigurationError, match=r"^API_TOKEN_FILE: .*nothing cannot be read"):
        load(OwnSettings)


def test_everything_that_is_wrong_is_named_at_once_and_no_value_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OWN_NUMBER", "hunter2")
    monkeypatch.setenv("LOG_LEVEL", "hunter2")

    with pytest.raises(ConfigurationError) as raised:
        load(OwnSettings)

    message = str(raised.value)
    assert all(
        name in message for name in ("API_TOKEN is not set", "OWN_DATABASE_URL is not set", "OWN_NUMBER", "LOG_LEVEL")
    )
    assert "hunter2" not in message
