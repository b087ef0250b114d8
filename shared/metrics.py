"""What a service counts about itself, in Prometheus' terms. Labels are names from closed lists, never ids or texts."""

from prometheus_client import Counter, Gauge, Histogram

FOLDED = Counter("ticketsync_folded_records", "Records read from Kafka, by what became of them", ["topic", "result"])
LAG = Gauge("ticketsync_lag_records", "Records that wait to be folded in the partitions of this process", ["topic"])
STOPPED = Gauge("ticketsync_topic_stopped", "1 while too many of a topic's records cannot be applied", ["topic"])
ANNOUNCED = Counter("ticketsync_announced_records", "Facts published to Kafka", ["loop"])
BEATS = Gauge("ticketsync_loop_beat_timestamp_seconds", "When a loop last looked for work", ["loop"])
GATE_OPEN = Gauge("ticketsync_gate_open", "1 while this service may act, 0 while it reads its own facts back")
LANE_STOPPED = Gauge("ticketsync_lane_stopped", "1 while this service may not send to the cloud, by why", ["reason"])
BLOCKED = Gauge("ticketsync_blocked", "What is kept from the cloud, by what keeps it from there", ["reason"])
OLDEST_PENDING_S = Gauge("ticketsync_oldest_pending_seconds", "Age of the oldest that is to go to the cloud")
DEAD_LETTERS = Gauge("ticketsync_dead_letters", "Records that could not be applied and are kept with their reason")
LANE_OPEN = Gauge("ticketsync_lane_open", "1 while this service may send to the cloud")
CLOUD_REQUESTS = Counter("ticketsync_cloud_requests", "Requests to the cloud, by outcome", ["call", "outcome"])
CLOUD_SECONDS = Histogram("ticketsync_cloud_request_seconds", "Duration of requests to the cloud", ["call"])


def mean_seconds(histogram: Histogram, *, besides: str) -> float | None:
    """The mean of what was observed since the start, without the calls of one name; None: nothing was."""
    samples = [one for metric in histogram.collect() for one in metric.samples if one.labels.get("call") != besides]
    count = sum(one.value for one in samples if one.name.endswith("_count"))
    return sum(one.value for one in samples if one.name.endswith("_sum")) / count if count else None
