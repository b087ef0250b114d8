"""The configuration of an embedded Kafka: one node on loopback, sized for a developer's machine."""

MESSAGE_MAX_BYTES = 6 * 1024 * 1024
"""The largest topic allows 5 MB; the broker's own limit stands above it, headers and batch overhead included."""


def server_properties(*, port: int, controller_port: int) -> str:
    """What server.properties holds; clients connect to `port`."""
    return f"""\
# Written anew at each start.
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller_port}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
# Relative to the working folder: the path itself may hold what means something else here, such as a comma.
log.dirs=data

# One node holds every copy there is.
default.replication.factor=1
min.insync.replicas=1
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1

# Topics come from `ticketsync topics apply` alone.
auto.create.topics.enable=false
message.max.bytes={MESSAGE_MAX_BYTES}
replica.fetch.max.bytes={MESSAGE_MAX_BYTES}

# After a kill the controller keeps the broker out until the session of the one before it has run out.
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=500

# Sized for a developer's machine.
num.network.threads=2
num.io.threads=4
offsets.topic.num.partitions=4
transaction.state.log.num.partitions=1
share.coordinator.state.topic.num.partitions=1
log.index.size.max.bytes=1048576
log.cleaner.enable=true
log.cleaner.dedupe.buffer.size=16777216
group.initial.rebalance.delay.ms=0
"""
