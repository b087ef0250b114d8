"""Trouble that passes by itself, with the servers that every service needs."""

from aiokafka.errors import KafkaError

from shared.database import is_transient


def is_passing(error: Exception) -> bool:
    """Whether it is Kafka's or the database's and may be gone at the next try; anything else is a defect."""
    return isinstance(error, KafkaError) or is_transient(error)
