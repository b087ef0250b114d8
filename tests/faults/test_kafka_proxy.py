"""The proxy reads publishes as aiokafka writes them, and answers as a broker would."""

from aiokafka.protocol.produce import ProduceRequest_v7, ProduceResponse_v7

from tests.faults.kafka_proxy import HEADER, Publish, acknowledgement, published

REQUEST = ProduceRequest_v7(None, -1, 1_000, [("TicketLinked", [(3, b"records"), (5, b"more")])])


def test_a_publish_is_recognised_with_its_client_and_its_topics() -> None:
    frame = HEADER.pack(0, 7, 42) + len(b"me").to_bytes(2, "big") + b"me" + REQUEST.encode()

    assert published(frame) == Publish(7, 42, "me", {"TicketLinked": [3, 5]})


def test_other_requests_are_none() -> None:
    assert published(HEADER.pack(1, 7, 42) + b"\x00\x00") is None


def test_what_is_lost_is_acknowledged_partition_by_partition() -> None:
    ends = {("TicketLinked", 3): 17, ("TicketLinked", 4): 9, ("TicketLinked", 5): 0}

    answer = acknowledgement(Publish(7, 42, "me", {"TicketLinked": [3, 5]}), ends)

    assert answer[:4] == (42).to_bytes(4, "big")
    decoded = ProduceResponse_v7.decode(answer[4:])
    assert decoded.topics == [("TicketLinked", [(3, 0, 17, -1, 0), (5, 0, 0, -1, 0)])]
