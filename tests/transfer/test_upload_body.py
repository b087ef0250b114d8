"""The bodies that go to the cloud. Expected values are the contract's own examples and hand-made ones."""

import json

import pytest

from services.transfer.upload_body import create_body, file_entry, files_in, inject_body, size_text


@pytest.mark.parametrize(
    ("size_bytes", "expected"),
    [
        (0, "0 B"),
        (512, "512 B"),
        (1023, "1023 B"),
        (1024, "1 KB"),
        (1536, "1.5 KB"),
        (1034, "1.01 KB"),
        (1152, "1.13 KB"),  # 1.125: a half is rounded up
        (2_621_440, "2.5 MB"),
        (1_048_575, "1 MB"),  # 1024.00 KB is not a size that people write
        (1_342_177_280, "1.25 GB"),
        (2**63 - 1, "8 EB"),
    ],
)
def test_a_size_is_told_in_1024s_with_two_decimals_at_most(size_bytes: int, expected: str) -> None:
    assert size_text(size_bytes) == expected


def test_a_file_without_a_ticket_has_the_four_fields_of_the_deployed_cloud() -> None:
    entry = file_entry(
        filename="ü.wav", size_bytes=1536, token=7, transcript='say "hi"\n', ticket_info=None, link_version=3
    )

    assert json.loads(entry) == {"filename": "ü.wav", "size": "1.5 KB", "token": 7, "transcribe": 'say "hi"\n'}


def test_a_ticket_stands_in_its_file_and_its_version_beside_it_if_the_cloud_knows_versions() -> None:
    ticket = {"ticket_id": "T-1", "customer_name": "Zoë"}
    known = file_entry(filename="a.wav", size_bytes=0, token=0, transcript="x", ticket_info=ticket, link_version=3)
    unknown = file_entry(filename="a.wav", size_bytes=0, token=0, transcript="x", ticket_info=ticket, link_version=None)

    assert json.loads(known)["ticket_info"] == ticket
    assert json.loads(known)["link_version"] == 3
    assert "link_version" not in json.loads(unknown)


def test_what_was_transferred_is_read_from_the_bytes_that_were_sent() -> None:
    entries = [
        file_entry(
            filename=f"{name}.wav", size_bytes=512, token=2, transcript=name, ticket_info=None, link_version=None
        )
        for name in ("a", "b")
    ]
    files = [
        {"filename": "a.wav", "size": "512 B", "token": 2, "transcribe": "a"},
        {"filename": "b.wav", "size": "512 B", "token": 2, "transcribe": "b"},
    ]

    assert files_in(create_body('Mon"day', entries)) == files
    assert files_in(inject_body(entries)) == files
    assert json.loads(create_body('Mon"day', entries))["folder"] == 'Mon"day'
    assert "folder" not in json.loads(inject_body(entries))
