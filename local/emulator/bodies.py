"""The request bodies of the contract: their shapes, and the cloud's own words for what is wrong with one.

The same types validate requests here and are published in the OpenAPI document, so the two cannot differ. The deployed
cloud is a Laravel application: an unreadable body counts as an empty one, unknown fields are ignored, and errors are
keyed by path ("files.0.token"). Validation is strict: a number in quotes is not a number.
"""

from typing import Annotated, NotRequired, TypeVar, cast

from pydantic import Field, StringConstraints, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails
from typing_extensions import TypedDict

Body = TypeVar("Body")

Text = Annotated[str, StringConstraints(min_length=1)]
Text100 = Annotated[str, StringConstraints(min_length=1, max_length=100)]
Text255 = Annotated[str, StringConstraints(min_length=1, max_length=255)]
Text500 = Annotated[str, StringConstraints(min_length=1, max_length=500)]
# Absolute http or https with a host, nobody's password, nothing invisible.
WebAddress = Annotated[
    str,
    StringConstraints(
        min_length=1,
        max_length=2048,
        pattern=r"^[Hh][Tt][Tt][Pp][Ss]?://[^\s\x00-\x1f\x7f-\x9f/?#@\\]+([/?#][^\s\x00-\x1f\x7f-\x9f]*)?$",
    ),
]
UtcTime = Annotated[
    str,
    StringConstraints(
        pattern=r"^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3])(:[0-5][0-9]){2}(\.[0-9]{1,6})?Z$"
    ),
]
LinkVersion = Annotated[int, Field(ge=0)]


class TicketInfo(TypedDict):
    """The ticket of a recording; an optional field without a value is left out."""

    ticket_id: Text100
    ticket_url: NotRequired[WebAddress]
    customer_name: NotRequired[Text255]
    agent_name: NotRequired[Text255]
    call_intent: NotRequired[Text100]
    call_outcome: NotRequired[Text100]
    display_name: NotRequired[Text500]
    linked_at: NotRequired[UtcTime]


class File(TypedDict):
    """A file as the deployed cloud knows it."""

    filename: Text
    size: Text
    token: int
    transcribe: Text


class UploadedFile(File):
    """A file of an upload; `ticket_info` is absent when the recording has no ticket."""

    ticket_info: NotRequired[TicketInfo]
    link_version: NotRequired[LinkVersion]


class UpdatedFile(File):
    """A file whose present ticket is stated; `ticket_info` null removes the ticket."""

    ticket_info: TicketInfo | None
    link_version: NotRequired[LinkVersion]


class _DeployedCreate(TypedDict):
    folder: Text
    files: Annotated[list[File], Field(min_length=1)]
    is_ba_integration: NotRequired[bool]


class _DeployedInject(TypedDict):
    files: Annotated[list[File], Field(min_length=1)]


class Create(TypedDict):
    """A new folder with its first files."""

    folder: Text
    files: Annotated[list[UploadedFile], Field(min_length=1)]
    is_ba_integration: NotRequired[bool]


class Inject(TypedDict):
    """Files for a folder that exists."""

    files: Annotated[list[UploadedFile], Field(min_length=1)]


class Update(TypedDict):
    """The present tickets of files in a folder."""

    files: Annotated[list[UpdatedFile], Field(min_length=1)]


CREATE = TypeAdapter(Create)
INJECT = TypeAdapter(Inject)
UPDATE = TypeAdapter(Update)
# Without the capability `ticket-info` the cloud knows no ticket fields and ignores them, like any unknown field.
DEPLOYED_CREATE = cast("TypeAdapter[Create]", TypeAdapter(_DeployedCreate))
DEPLOYED_INJECT = cast("TypeAdapter[Inject]", TypeAdapter(_DeployedInject))

_RULES = {
    "string_type": "must be a string.",
    "int_type": "must be an integer.",
    "int_from_float": "must be an integer.",
    "bool_type": "must be true or false.",
    "list_type": "must be an array.",
    "dict_type": "must be an array.",
    "string_too_long": "must not be greater than {max_length} characters.",
    "greater_than_equal": "must be at least {ge}.",
}
_OPTIONAL_FIELDS = TicketInfo.__optional_keys__ | {"link_version", "is_ba_integration"}


class InvalidBodyError(Exception):
    """A body that breaks the contract; `errors` maps the path of each field to its messages."""

    def __init__(self, errors: dict[str, list[str]]) -> None:
        first, count = next(iter(errors.values()))[0], sum(map(len, errors.values()))
        rest = f" (and {count - 1} more error{'s' if count > 2 else ''})" if count > 1 else ""  # noqa: PLR2004 # plural
        super().__init__(first + rest)
        self.errors = errors


def parse(shape: TypeAdapter[Body], body: bytes) -> Body:
    """The body in its shape, without the fields that the shape does not name.

    Raises:
        InvalidBodyError: a rule of the contract is broken.
    """
    try:
        return shape.validate_json(body or b"{}", strict=True)
    except ValidationError as error:
        problems = error.errors(include_url=False)
    if not problems[0]["loc"] and body != b"{}":
        return parse(shape, b"{}")  # no JSON object at all: the cloud sees an empty request
    errors: dict[str, list[str]] = {}
    for problem in problems:
        path = ".".join(map(str, problem["loc"]))
        errors.setdefault(path, []).append(_message(path, problem))
    raise InvalidBodyError(errors)


def unknown_filenames(positions: list[int]) -> InvalidBodyError:
    """The refusal of files, named by their position in the request, that the folder does not have."""
    paths = (f"files.{position}.filename" for position in positions)
    return InvalidBodyError({path: [f"The selected {path} is invalid."] for path in paths})


def _message(path: str, problem: ErrorDetails) -> str:
    field = f"The {path.replace('_', ' ')} field"
    name = path.rpartition(".")[2]
    if problem["type"] == "missing" and name == "ticket_info":
        return f"{field} must be present."  # null is a value there
    if problem["type"] == "missing" or problem["input"] in (None, "", []):
        return f"{field} must have a value." if name in _OPTIONAL_FIELDS else f"{field} is required."
    rule = "must be a valid URL." if name == "ticket_url" else "format is invalid."
    return f"{field} {_RULES.get(problem['type'], rule).format_map(problem.get('ctx', {}))}"
