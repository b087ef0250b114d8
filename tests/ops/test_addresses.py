"""Where the commands find the servers."""

import json
from pathlib import Path

import pytest

from ops.addresses import resolve
from ops.exits import Exit, Misconfigured, Unreachable
from ops.main import main


def test_a_data_folder_decides_alone_whatever_the_environment_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = tmp_path / "api_token"
    token.write_text("of the stack\n")
    said = {"linker_url": "http://127.0.0.1:1/", "api_token_file": str(token)}
    (tmp_path / "stack.json").write_text(json.dumps(said))
    monkeypatch.setenv("LINKER_URL", "http://elsewhere")
    monkeypatch.setenv("TRANSFER_URL", "http://elsewhere")
    monkeypatch.setenv("API_TOKEN", "of elsewhere")

    addresses = resolve(tmp_path)

    assert addresses.service_url("linker") == "http://127.0.0.1:1"
    assert addresses.api_token == "of the stack"
    with pytest.raises(Misconfigured, match="transfer_url"):
        addresses.service_url("transfer")


def test_a_stacks_kafka_is_reached_in_plain_even_if_the_environment_asks_for_passwords(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "stack.json").write_text(json.dumps({"kafka_bootstrap_servers": "127.0.0.1:9092"}))
    monkeypatch.setenv("KAFKA_SECURITY_PROTOCOL", "SASL_SSL")

    kafka = resolve(tmp_path).kafka()

    assert kafka.servers == ["127.0.0.1:9092"]
    assert kafka.kafka_security_protocol == "PLAINTEXT"


def test_a_folder_without_a_running_stack_is_told_with_the_command_that_starts_it(tmp_path: Path) -> None:
    with pytest.raises(Unreachable) as stop:
        resolve(tmp_path)

    assert f"ticketsync up --data-dir {tmp_path}" in stop.value.todo


def test_a_missing_setting_is_named_only_when_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINKER_URL", "http://linker:8081")

    addresses = resolve(None)

    assert addresses.service_url("linker") == "http://linker:8081"
    with pytest.raises(Misconfigured, match="CLOUD_UPDATER_URL is not set"):
        addresses.service_url("cloud_updater")


def test_a_secret_may_come_from_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "token").write_text("secret\n")
    monkeypatch.setenv("API_TOKEN_FILE", str(tmp_path / "token"))

    assert resolve(None).api_token == "secret"


@pytest.mark.parametrize("token", ["secret\n", " secret", "sec\rret", "sec\udcffret", "\t"])
def test_a_token_that_no_header_can_hold_is_told_by_its_setting_and_never_shown(
    token: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("API_TOKEN", token)
    monkeypatch.setenv("CLOUD_UPDATER_URL", "http://127.0.0.1:1")

    assert main(["resume", "cloud-updater"]) == Exit.CONFIGURATION

    told = capsys.readouterr().err
    assert "API_TOKEN" in told
    assert "sec" not in told


def test_a_secrets_file_counts_before_the_value_in_the_environment_as_it_does_for_the_services(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "token").write_text("new\n")
    monkeypatch.setenv("API_TOKEN_FILE", str(tmp_path / "token"))
    monkeypatch.setenv("API_TOKEN", "old")

    assert resolve(None).api_token == "new"


def test_a_secrets_file_that_cannot_be_read_is_told_by_its_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("API_TOKEN_FILE", str(tmp_path / "missing"))

    (tmp_path / "empty").touch()
    with pytest.raises(Misconfigured, match="API_TOKEN_FILE"):
        resolve(None)
    monkeypatch.setenv("API_TOKEN_FILE", str(tmp_path / "empty"))
    with pytest.raises(Misconfigured, match="empty is empty"):
        resolve(None)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({}, "KAFKA_BOOTSTRAP_SERVERS is not set"),
        ({"KAFKA_BOOTSTRAP_SERVERS": "kafka"}, "KAFKA_BOOTSTRAP_SERVERS .*must be host:port"),
        (
            {"KAFKA_BOOTSTRAP_SERVERS": "kafka:9092", "KAFKA_SECURITY_PROTOCOL": "SASL_SSL"},
            "KAFKA_SASL_USERNAME .*is not set.*KAFKA_SASL_PASSWORD .*is not set",
        ),
        (
            {"KAFKA_BOOTSTRAP_SERVERS": "kafka:9092", "KAFKA_SECURITY_PROTOCOL": "TLS"},
            "KAFKA_SECURITY_PROTOCOL",
        ),
    ],
)
def test_wrong_kafka_settings_are_refused_by_name(
    settings: dict[str, str], named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(name, value)

    with pytest.raises(Misconfigured, match=named):
        resolve(None).kafka()
