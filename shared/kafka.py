"""How to reach Kafka: the KAFKA_* settings and what they mean to its clients.

In: the environment (or values given by hand). Out: keyword arguments that AIOKafkaProducer, AIOKafkaConsumer and
AIOKafkaAdminClient all take, and the same as FastStream wants them. A setting that contradicts another is refused
here, by name, before any connection is tried.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.helpers import create_ssl_context
from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.to_its_end import to_its_end


class KafkaSettings(BaseSettings):
    """Where Kafka is and how it is spoken to; the field names are the names of the settings, in lower case."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    kafka_bootstrap_servers: str = Field(
        min_length=1, description="Kafka brokers to ask first, as host:port separated by commas."
    )
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="How brokers are spoken to: PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL."
    )
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "PLAIN", description="How a SASL_ protocol signs in: PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512."
    )
    kafka_sasl_username: str | None = Field(
        None, validate_default=True, description="Name to sign in with; needed by a SASL_ protocol."
    )
    kafka_sasl_password: SecretStr | None = Field(
        None, validate_default=True, description="Password to sign in with; needed by a SASL_ protocol."
    )
    kafka_ssl_cafile: Path | None = Field(
        None, description="File of the authorities that sign the brokers' certificates; none: those of the system."
    )
    kafka_ssl_certfile: Path | None = Field(
        None, description="File of this client's own certificate, if the brokers ask for one."
    )
    kafka_ssl_keyfile: Path | None = Field(None, description="File of the private key of KAFKA_SSL_CERTFILE.")
    kafka_replication_factor: int | None = Field(
        None, ge=1, le=99, description="Copies of each topic that `topics apply` creates; none: the brokers' default."
    )

    @field_validator("kafka_bootstrap_servers")
    @classmethod
    def _every_broker_has_a_port(cls, value: str) -> str:
        for server in value.split(","):
            host, _, port = server.strip().rpartition(":")
            if not host or not port.isdecimal():
                raise ValueError("must be host:port, several separated by commas")
        return value

    @field_validator("kafka_sasl_username", "kafka_sasl_password")
    @classmethod
    def _sasl_needs_it(cls, value: str | SecretStr | None, info: ValidationInfo) -> str | SecretStr | None:
        if not value and str(info.data.get("kafka_security_protocol")).startswith("SASL_"):
            raise ValueError("is not set, but KAFKA_SECURITY_PROTOCOL asks for SASL")
        return value

    @property
    def servers(self) -> list[str]:
        """The brokers, each as host:port."""
        return [server.strip() for server in self.kafka_bootstrap_servers.split(",")]


def plain(bootstrap_servers: str) -> KafkaSettings:
    """Kafka without encryption or password, as in the embedded stack; the environment has no say."""
    return KafkaSettings.model_construct(kafka_bootstrap_servers=bootstrap_servers)


def client_options(settings: KafkaSettings) -> dict[str, Any]:
    """Keyword arguments for any of aiokafka's clients. Raises OSError if a named file cannot be read."""
    options: dict[str, Any] = {
        "bootstrap_servers": settings.servers,
        "security_protocol": settings.kafka_security_protocol,
    }
    if settings.kafka_security_protocol.endswith("SSL"):
        options["ssl_context"] = create_ssl_context(
            cafile=settings.kafka_ssl_cafile,
            certfile=settings.kafka_ssl_certfile,
            keyfile=settings.kafka_ssl_keyfile,
        )
    if settings.kafka_security_protocol.startswith("SASL_"):
        password = settings.kafka_sasl_password
        options["sasl_mechanism"] = settings.kafka_sasl_mechanism
        options["sasl_plain_username"] = settings.kafka_sasl_username
        options["sasl_plain_password"] = password.get_secret_value() if password else None
    return options


def asking_options(settings: KafkaSettings) -> dict[str, Any]:
    """The same for a consumer that asks for offsets and is closed again. Raises as `client_options` does.

    aiokafka learns of each topic only when it is asked for, and then waits out its backoff once per topic.
    """
    return {**client_options(settings), "group_id": None, "enable_auto_commit": False, "retry_backoff_ms": 10}


def broker_options(settings: KafkaSettings) -> dict[str, Any]:
    """The same connection as keyword arguments for FastStream's KafkaBroker. Raises as `client_options` does."""
    # On demand: FastStream takes longer to import than the commands that only publish take to run.
    from faststream.security import BaseSecurity, SASLPlaintext, SASLScram256, SASLScram512  # noqa: PLC0415

    options = client_options(settings)
    encrypted = settings.kafka_security_protocol.endswith("SSL")
    security: BaseSecurity | None = None
    if settings.kafka_security_protocol.startswith("SASL_"):
        by_mechanism = {"PLAIN": SASLPlaintext, "SCRAM-SHA-256": SASLScram256, "SCRAM-SHA-512": SASLScram512}
        security = by_mechanism[settings.kafka_sasl_mechanism](
            username=options["sasl_plain_username"],
            password=options["sasl_plain_password"],
            ssl_context=options.get("ssl_context"),
            use_ssl=encrypted,
        )
    elif encrypted:
        security = BaseSecurity(ssl_context=options["ssl_context"], use_ssl=True)
    return {"bootstrap_servers": settings.servers, "security": security}


@asynccontextmanager
async def started(client: Any) -> AsyncIterator[Any]:  # noqa: ANN401  # aiokafka ships no types
    """An aiokafka client, started and stopped again.

    aiokafka 0.14 leaves connections open if its start or stop is cancelled: whoever is cancelled lets these end first.
    """
    stop = client.close if isinstance(client, AIOKafkaAdminClient) else client.stop
    try:
        await to_its_end(client.start())
        yield client
    finally:
        await to_its_end(stop(), limited=True)
