"""What an embedded stack keeps in its data folder: the lock, ports, secrets, and Kafka's jars beside it."""

import hashlib
import json
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from local.data_dir import DataDirInUseError, keep_secrets, open_data_dir, token_file
from local.kafka_jars import KAFKA_VERSION, Jar, JarsUnavailableError, check, pinned_jars
from local.once import made_once
from local.ports import accepts_connections, held_ports


def test_a_folder_is_open_once_at_a_time_and_only_to_its_owner(tmp_path: Path) -> None:
    with open_data_dir(tmp_path / "deep" / "data") as folder:
        assert folder.stat().st_mode & 0o777 == 0o700
        with pytest.raises(DataDirInUseError, match=str(folder)), open_data_dir(folder):
            pass

    with open_data_dir(folder):
        pass


def test_secrets_are_made_once_and_readable_by_their_owner_only(tmp_path: Path) -> None:
    first = keep_secrets(tmp_path, ["transfer_password"])
    second = keep_secrets(tmp_path, ["transfer_password", "linker_password"])

    assert second["transfer_password"] == first["transfer_password"]
    assert len(second["linker_password"]) == 32
    assert (tmp_path / "secrets.json").stat().st_mode & 0o777 == 0o600


def test_a_token_keeps_what_somebody_wrote_into_its_file_unless_another_is_given(tmp_path: Path) -> None:
    made = token_file(tmp_path, "api_token")
    first = made.read_text()
    previous = token_file(tmp_path, "previous", first=first.strip())
    made.write_text("newer\n")
    kept, given = token_file(tmp_path, "api_token").read_text(), token_file(tmp_path, "api_token", now="given")

    assert len(first.strip()) == 32
    assert (previous.read_text(), kept, given.read_text()) == (first, "newer\n", "given\n")
    assert made.stat().st_mode & 0o777 == 0o600
    assert made.parent.stat().st_mode & 0o777 == 0o700


def test_ports_stay_and_only_one_that_a_stranger_took_changes(tmp_path: Path) -> None:
    told: list[str] = []
    with held_ports(tmp_path / "ports.json", ["kafka", "postgres"], say=told.append) as first:
        pass

    with (
        socket.create_server(("127.0.0.1", first["kafka"])),
        held_ports(tmp_path / "ports.json", ["kafka", "postgres", "linker"], say=told.append) as second,
    ):
        pass

    assert len(set(second.values())) == 3
    assert second["postgres"] == first["postgres"]
    assert second["kafka"] != first["kafka"]
    assert told == [f"port {first['kafka']} of kafka is taken by another program: choosing a new one"]
    assert json.loads((tmp_path / "ports.json").read_text()) == second


def test_a_held_port_is_left_to_its_server_and_refused_to_everybody_else(tmp_path: Path) -> None:
    with held_ports(tmp_path / "ports.json", ["kafka"], say=print) as ports:
        address = ("127.0.0.1", ports["kafka"])
        with socket.socket() as stranger, pytest.raises(OSError, match="in use"):
            stranger.bind(address)

        for _ in ("first", "started again"):
            with socket.create_server(address), socket.create_connection(address):
                pass


async def test_a_port_accepts_connections_while_somebody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert await accepts_connections("127.0.0.1", port)

    assert not await accepts_connections("127.0.0.1", port)


def test_every_jar_is_pinned_by_its_sum_and_has_a_name_of_its_own() -> None:
    jars = pinned_jars()

    assert len({jar.filename for jar in jars}) == len(jars) == 46
    assert {len(jar.sha256) for jar in jars} == {64}
    assert f"kafka_2.13-{KAFKA_VERSION}.jar" in {jar.filename for jar in jars}


def test_a_jar_that_is_not_the_pinned_one_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "kafka_2.13-4.3.1.jar"
    file.write_bytes(b"as published")
    jar = Jar(hashlib.sha256(b"as published").hexdigest(), "org.apache.kafka", "kafka_2.13", "4.3.1")
    assert check(jar, file) == file

    file.write_bytes(b"as somebody changed it")

    with pytest.raises(JarsUnavailableError, match=r"kafka_2.13-4.3.1.jar is not the pinned file"):
        check(jar, file)


def test_what_two_want_at_once_is_made_once(tmp_path: Path) -> None:
    lock, made = tmp_path / "cache" / "it.lock", tmp_path / "it"
    began = threading.Barrier(2)

    def make() -> None:
        with made.open("x") as file:
            file.write("made")

    def want() -> str:
        began.wait(10)
        made_once(lock, is_there=made.exists, make=make)
        return made.read_text()

    with ThreadPoolExecutor() as pool:
        assert [one.result(10) for one in [pool.submit(want), pool.submit(want)]] == ["made", "made"]


def test_what_could_not_be_made_is_tried_again_by_the_next(tmp_path: Path) -> None:
    lock, made = tmp_path / "it.lock", tmp_path / "it"

    def fail() -> None:
        raise JarsUnavailableError("no network")

    with pytest.raises(JarsUnavailableError):
        made_once(lock, is_there=made.exists, make=fail)
    made_once(lock, is_there=made.exists, make=made.touch)

    assert made.exists()
