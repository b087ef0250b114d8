"""Times as people give them to a command."""

from datetime import datetime

from pydantic import TypeAdapter, ValidationError

from ops.exits import WrongInput
from schemas.fields import Instant

_INSTANT: TypeAdapter[datetime] = TypeAdapter(Instant)


def moment(given: str | None, option: str) -> str | None:
    """A time for a service's API. Raises WrongInput."""
    try:
        return None if given is None else _INSTANT.validate_python(given).isoformat()
    except ValidationError:
        raise WrongInput(f"{option} {given} is no time such as 2025-01-29T10:30:00Z") from None
