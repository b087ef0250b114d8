"""docs/settings.md says of every setting, and of no other, what it is, its default and whether it is secret."""

from pathlib import Path

import pytest
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
    rows: dict[str, str] = {}
    for settings in CLASSES:
        for name, field in settings.model_fields.items():
            secret = "yes" if field.annotation in {SecretStr, SecretStr | None} else "no"
            default = "required" if field.is_required() else "none" if field.default is None else f"`{field.default}`"
            rows.setdefault(name, f"| `{name.upper()}` | {default} | {secret} | {field.description} |")
    return list(rows.values())


def test_every_setting_of_the_services_is_documented_as_it_is() -> None:
    documented = [line for line in DOCUMENT.read_text().splitlines() if line.startswith("| `")]
    services = documented[: len(expected_rows())]

    assert services == expected_rows()


@pytest.mark.parametrize(
    ("service", "settings"),
    [("linker", LinkerSettings), ("transfer", TransferSettings), ("cloud_updater", CloudUpdaterSettings)],
)
def test_a_default_of_one_service_s_own_is_named_where_that_of_the_others_is(
    service: str, settings: type[BaseSettings]
) -> None:
    for name, common in CommonSettings.model_fields.items():
        own, meaning = settings.model_fields[name].default, common.description or ""
        assert (f"`{own}` in {service}" in meaning) == (own != common.default)


def test_every_setting_has_a_meaning() -> None:
    assert [row for row in expected_rows() if row.endswith("| None |")] == []
