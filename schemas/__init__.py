"""What the services say to each other: events, topics, and the envelope they travel in.

Everything that crosses a topic is declared here once. Other languages read the generated files beside the code:
`json/` (JSON Schema), `asyncapi.yaml` and `examples/`. Nothing here does I/O except the generator.
"""
