"""The AsyncAPI 3.0 document of the whole system, made from the topics and the events.

In: `topics.TOPICS` and the examples. Out: one plain dict for YAML. Payloads are references to the JSON Schema files
beside the document, so a rule stands in one place only.
"""

from collections.abc import Mapping, Sequence
from typing import Any, get_args

from schemas.events import Event
from schemas.headers import JSON, type_of
from schemas.topics import TOPICS, Topic
from schemas.undecodable import Reason

Json = dict[str, Any]
Examples = Mapping[type[Event], Sequence[tuple[str, Json]]]

DEAD_LETTER = "DeadLetter"
JSON_SCHEMA_FORMAT = "application/schema+json;version=draft-2020-12"


def document(examples: Examples) -> Json:
    """The document; `examples` are named bodies by event."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "ticketsync",
            "version": "1",
            "description": (
                "Facts about call recordings and their tickets. Events are CloudEvents 1.0: published in binary mode, "
                "accepted in binary mode, in structured mode and as plain JSON without any ce_ header. "
                "Unknown fields are ignored. A compacted topic refuses a record without a key."
            ),
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": JSON,
        "channels": {topic.name: _channel(topic) for topic in TOPICS},
        "operations": {name: body for topic in TOPICS for name, body in _operations(topic)},
        "components": {
            "messages": {
                **{topic.event.__name__: _message(topic, topic.event, examples) for topic in TOPICS if topic.event},
                DEAD_LETTER: _dead_letter(),
            },
            "schemas": {"CloudEventHeaders": _cloud_event_headers()},
        },
    }


def _message_name(topic: Topic) -> str:
    return topic.event.__name__ if topic.event else DEAD_LETTER


def _channel(topic: Topic) -> Json:
    name = _message_name(topic)
    configuration: Json = {"cleanup.policy": [topic.cleanup], "max.message.bytes": topic.max_message_bytes}
    if topic.retention_ms is not None:
        configuration["retention.ms"] = topic.retention_ms
    return {
        "address": topic.name,
        "messages": {name: {"$ref": f"#/components/messages/{name}"}},
        "bindings": {
            "kafka": {
                "topic": topic.name,
                "partitions": topic.partitions,
                "topicConfiguration": configuration,
                "bindingVersion": "0.5.0",
            }
        },
    }


def _operations(topic: Topic) -> list[tuple[str, Json]]:
    """Who sends and who receives on the topic, one operation each."""
    sides = [("send", party) for party in topic.producers] + [("receive", party) for party in topic.consumers]
    return [
        (
            f"{party.replace(' ', '_').replace(chr(39), '')}.{action}.{topic.name}",
            {
                "action": action,
                "title": f"{party}: {action} {topic.name}",
                "channel": {"$ref": f"#/channels/{topic.name}"},
                "tags": [{"name": party}],
            },
        )
        for action, party in sides
    ]


def _message(topic: Topic, event: type[Event], examples: Examples) -> Json:
    return {
        "name": type_of(event),
        "title": event.__name__,
        "summary": (event.__doc__ or "").partition("\n")[0],
        "contentType": JSON,
        "headers": {"$ref": "#/components/schemas/CloudEventHeaders"},
        "payload": {
            "schemaFormat": JSON_SCHEMA_FORMAT,
            "schema": {"$ref": f"./json/{event.__name__}.v{event.major_version}.schema.json"},
        },
        "bindings": {"kafka": {"key": _key(topic), "bindingVersion": "0.5.0"}},
        "examples": [{"name": name, "payload": body} for name, body in examples[event]],
    }


def _key(topic: Topic) -> Json:
    if topic.key_field is None:
        return {"type": "string", "description": "any"}
    return {"type": "string", "description": f"{topic.key_field} of the body, in UTF-8"}


def _dead_letter() -> Json:
    text = {"type": "string"}
    return {
        "title": "Dead letter",
        "summary": "The original key and value, byte for byte, of a record that could not be applied, and why.",
        "contentType": "application/octet-stream",
        "headers": {
            "type": "object",
            "required": ["topic", "partition", "offset", "reason", "error", "time"],
            "properties": {
                "topic": {**text, "description": "where the original stood"},
                "partition": {**text, "pattern": "^[0-9]+$"},
                "offset": {**text, "pattern": "^[0-9]+$"},
                "reason": {**text, "enum": list(get_args(Reason))},
                "error": {**text, "description": "for people: fields and rules, never content"},
                "time": {**text, "format": "date-time"},
            },
        },
        "payload": {},
    }


def _cloud_event_headers() -> Json:
    text = {"type": "string"}
    return {
        "type": "object",
        "description": "Binary mode. All may be missing together; a body without any ce_ header is taken as it is.",
        "properties": {
            "content-type": {**text, "examples": [JSON]},
            "ce_specversion": {**text, "const": "1.0"},
            "ce_id": {**text, "description": "the same whenever the same event is sent again"},
            "ce_source": {**text, "format": "uri-reference"},
            "ce_type": {**text, "enum": [type_of(topic.event) for topic in TOPICS if topic.event]},
            "ce_time": {**text, "format": "date-time"},
            "ce_subject": {**text},
            "traceparent": {**text, "description": "W3C Trace Context"},
        },
    }
