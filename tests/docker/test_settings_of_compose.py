""".env.example says what every setting of docker-compose.yml is by default; the image is built from locked parts."""

import re

from tests.docker.containers import REPOSITORY

WITH_DEFAULT = re.compile(r"\$\{(\w+):?-([^}]*)\}")


def test_every_setting_of_the_containers_is_documented_with_its_default() -> None:
    used = set(WITH_DEFAULT.findall((REPOSITORY / "docker-compose.yml").read_text()))
    lines = (REPOSITORY / ".env.example").read_text().splitlines()

    documented = [tuple(line.split("=", 1)) for line in lines if line and not line.startswith("#")]

    assert sorted(documented) == sorted(used)


def test_what_builds_the_image_is_locked_as_for_developers() -> None:
    developers = (REPOSITORY / "requirements-dev.lock").read_text().splitlines()

    assert set((REPOSITORY / "docker" / "build.lock").read_text().splitlines()) <= set(developers)
