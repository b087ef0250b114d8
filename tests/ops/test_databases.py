"""A database that refuses is told from one that does not answer, by every command that uses one."""

from urllib.parse import urlsplit

import pytest

from ops.main import main


@pytest.mark.usefixtures("logging_as_before")
@pytest.mark.parametrize(
    ("wrong", "said"), [("password", "password authentication failed"), ("database", "does not exist")]
)
def test_a_database_that_refuses_is_a_wrong_setting_and_named(
    wrong: str, said: str, postgres_url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    right = urlsplit(postgres_url)
    login = f"{right.username}:{'hidden' if wrong == 'password' else right.password}"
    database = "no_such_database" if wrong == "database" else right.path.removeprefix("/")
    url = f"postgresql+asyncpg://{login}@{right.hostname}:{right.port}/{database}"
    monkeypatch.setenv("LINKER_DATABASE_URL", url)
    monkeypatch.setenv("API_TOKEN", "x")
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")

    for command in (["migrate", "linker"], ["run", "linker"], ["run", "linker", "--migrate"]):
        assert main(command) == 78, command
        told = capsys.readouterr().err
        assert "LINKER_DATABASE_URL is refused: " in told
        assert said in told
        assert "does the database exist?" in told
        assert "hidden" not in told
