"""docs/settings.md says of every setting, and of no other, what it is, its default and whether it is secret."""

from pathlib import Path

from pydantic import SecretStr
from pydantic_settings import BaseSettings

from services.cloud_updater.settings import CloudUpdaterSettings
from services.linker.settings import LinkerSettings
from services.transfer.settings import TransferSettings
from shared.cloud import CloudSettings
from shared.kafka import KafkaSettings
from shared.settings import CommonSettings

DOCUMENT = Path(__file__).parents[1] / "docs" / "settings.md"
CLASSES: tuple[type[BaseSettings], ...] = (
    KafkaSettings,
    CommonSettings,
    LinkerSettings,
    TransferSettings,
    CloudUpdaterSettings,
    CloudSettings,
)


def expected_rows() -> list[str]:
    rows = {}
    for settings in CLASSES:
        for name, field in settings.model_fields.items():
            secret = field.annotation in {SecretStr, SecretStr | None}
            default = "required" if field.is_required() else "none" if field.default is None else f"`{field.default}`"
            rows[name] = f"| `{name.upper()}` | {default} | {'yes' if secret else 'no'} | {field.description} |"
    return list(rows.values())


def test_every_setting_of_the_services_is_documented_as_it_is() -> None:
    documented = [line for line in DOCUMENT.read_text().splitlines() if line.startswith("| `")]
    services = documented[: len(expected_rows())]

    assert services == expected_rows()


def test_every_setting_has_a_meaning() -> None:
    assert [row for row in expected_rows() if row.endswith("| None |")] == []
