"""What an acknowledged effect is worth: the emulator killed at any moment and started again on its folder."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from local.emulator.journal import Journal
from tests.emulator.running import Emulator, EmulatorProcess, a_file, a_ticket, running_emulator


@pytest.fixture
def process(tmp_path: Path) -> Iterator[EmulatorProcess]:
    process = EmulatorProcess(tmp_path).start()
    yield process
    process.kill()


def test_everything_is_there_after_a_restart(tmp_path: Path) -> None:
    with running_emulator(data_dir=tmp_path) as cloud:
        ticket = a_ticket("TKT-1", customer_name="Zoë")
        uuid = cloud.create(a_file("a.wav", ticket_info=ticket, link_version=2), a_file("b.wav"), key="k1").json()[
            "data"
        ]["uuid"]
        cloud.inject(uuid, a_file("c.wav"), key="k2")
        cloud.update_ticket(uuid, a_file("a.wav", ticket_info=None, link_version=3))
        cloud.update_ticket(uuid, a_file("a.wav", ticket_info=ticket, link_version=2))
        cloud.delete(cloud.folder(a_file()))
        cloud.create(a_file("a.wav", ticket_info=ticket, link_version=2), a_file("b.wav"), key="k1")
        folders, effects = cloud.control("GET", "folders"), cloud.effects()

    with running_emulator(data_dir=tmp_path) as cloud:
        assert cloud.control("GET", "folders") == folders
        assert cloud.effects() == effects
        assert cloud.create(a_file("z.wav"), key="k1").status_code == 422
        assert cloud.inject(uuid, a_file("c.wav"), key="k2").status_code == 200
        assert [effect["seq"] for effect in cloud.effects()] == list(range(1, len(effects) + 2))
        assert cloud.control("GET", "folders") == folders


def test_no_acknowledged_effect_is_lost_by_a_kill(process: EmulatorProcess) -> None:
    acknowledged: list[str] = []

    def upload(cloud: Emulator, client: int) -> None:
        try:
            for number in range(100_000):
                cloud.create(a_file(f"{client}-{number}.wav")).raise_for_status()
                acknowledged.append(f"{client}-{number}.wav")
        except httpx.TransportError:
            return  # killed

    for _ in range(3):
        before = len(acknowledged)
        with process.client() as cloud:
            clients = [threading.Thread(target=upload, args=(cloud, len(acknowledged) + n)) for n in range(3)]
            for client in clients:
                client.start()
            while len(acknowledged) < before + 50:
                assert any(client.is_alive() for client in clients)
            process.kill()
            for client in clients:
                client.join()
        process.start()

    with process.client() as cloud:
        effects = cloud.effects()
    logged = [file["filename"] for effect in effects for file in effect["files"]]
    assert set(acknowledged) <= set(logged)
    assert len(logged) == len(set(logged))
    assert [effect["seq"] for effect in effects] == list(range(1, len(effects) + 1))


def test_a_repeat_after_a_kill_is_recognised_by_its_key(process: EmulatorProcess) -> None:
    with process.client() as cloud:
        first = cloud.create(a_file(), key="k1").json()
    process.kill()
    process.start()

    with process.client() as cloud:
        assert cloud.create(a_file(), key="k1").json() == first
        assert cloud.kinds() == ["create"]


def test_a_stopped_emulator_gives_held_requests_up(process: EmulatorProcess) -> None:
    with process.client() as cloud:
        cloud.control("POST", "hold", {"route": "create"})
        gone: list[str] = []

        def held() -> None:
            try:
                gone.append(str(cloud.create(a_file()).status_code))
            except httpx.TransportError:
                gone.append("closed")

        client = threading.Thread(target=held)
        client.start()
        cloud.wait_until_held()
        process.stop()
        client.join()
    process.start()

    with process.client() as cloud:
        assert gone in (["500"], ["closed"])
        assert cloud.effects() == []


def test_a_line_cut_short_is_removed(tmp_path: Path) -> None:
    with running_emulator(data_dir=tmp_path) as cloud:
        cloud.create(a_file("a.wav"))
    log = tmp_path / "effects.jsonl"
    whole = log.read_bytes()
    log.write_bytes(whole + whole[: len(whole) // 2])

    with running_emulator(data_dir=tmp_path) as cloud:
        assert [effect["seq"] for effect in cloud.effects()] == [1]
        cloud.create(a_file("b.wav"))

    assert [json.loads(line)["seq"] for line in log.read_bytes().splitlines()] == [1, 2]


def test_a_second_emulator_on_the_same_folder_is_refused(tmp_path: Path) -> None:
    journal = Journal(tmp_path)

    with pytest.raises(BlockingIOError):
        Journal(tmp_path)

    journal.close()
    Journal(tmp_path).close()


def test_a_page_of_large_effects_is_a_short_one(tmp_path: Path) -> None:
    with running_emulator(data_dir=tmp_path) as cloud:
        for count in (20, 1, 20):
            cloud.create(*(a_file(f"{number}.wav") for number in range(count)))
    journal = Journal(tmp_path)
    whole = [effect["seq"] for effect in journal.recover()]

    pages = [journal.page(after=after, limit=10, limit_bytes=1_000) for after in (0, 1, 2, 3)]

    journal.close()
    assert whole == [1, 2, 3]
    assert [[json.loads(line)["seq"] for line in page] for page in pages] == [[1], [2], [3], []]


def test_a_wiped_log_starts_anew(tmp_path: Path) -> None:
    with running_emulator(data_dir=tmp_path) as cloud:
        cloud.create(a_file("a.wav"))
        cloud.control("POST", "wipe")
        uuid = cloud.folder(a_file("b.wav"))

    with running_emulator(data_dir=tmp_path) as cloud:
        assert [folder["uuid"] for folder in cloud.control("GET", "folders")["folders"]] == [uuid]
