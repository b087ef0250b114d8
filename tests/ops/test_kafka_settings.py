"""What the KAFKA_ settings become for the clients."""

from pathlib import Path

import pytest
from faststream.security import SASLScram512

from shared.kafka import KafkaSettings, broker_options, client_options, plain
from shared.settings import load


def test_a_bare_address_is_a_listener_without_encryption_or_password() -> None:
    assert client_options(plain("one:9092, two:9092")) == {
        "bootstrap_servers": ["one:9092", "two:9092"],
        "security_protocol": "PLAINTEXT",
    }
    assert broker_options(plain("one:9092")) == {"bootstrap_servers": ["one:9092"], "security": None}


def test_a_password_from_a_file_reaches_both_kinds_of_client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "password").write_text("hunter2\n")
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "kafka:9093")
    monkeypatch.setenv("KAFKA_SECURITY_PROTOCOL", "SASL_PLAINTEXT")
    monkeypatch.setenv("KAFKA_SASL_MECHANISM", "SCRAM-SHA-512")
    monkeypatch.setenv("KAFKA_SASL_USERNAME", "ticketsync")
    monkeypatch.setenv("KAFKA_SASL_PASSWORD_FILE", str(tmp_path / "password"))

    settings = load(KafkaSettings)

    assert client_options(settings) == {
        "bootstrap_servers": ["kafka:9093"],
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "ticketsync",
        "sasl_plain_password": "hunter2",
    }
    security = broker_options(settings)["security"]
    assert isinstance(security, SASLScram512)
    assert (security.username, security.password, security.use_ssl) == ("ticketsync", "hunter2", False)
    assert "hunter2" not in repr(settings)


def test_an_encrypted_listener_is_checked_against_the_named_authorities(tmp_path: Path) -> None:
    missing = tmp_path / "ca.pem"
    settings = KafkaSettings(
        kafka_bootstrap_servers="kafka:9093", kafka_security_protocol="SSL", kafka_ssl_cafile=missing
    )

    with pytest.raises(OSError, match="No such file"):
        client_options(settings)


def test_an_encrypted_listener_uses_the_systems_authorities_otherwise() -> None:
    settings = KafkaSettings(kafka_bootstrap_servers="kafka:9093", kafka_security_protocol="SSL")

    options = client_options(settings)

    assert options["security_protocol"] == "SSL"
    assert options["ssl_context"].check_hostname
    assert broker_options(settings)["security"].use_ssl
