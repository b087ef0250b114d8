"""One HTTP call to the cloud, and what its answer proves.

    Outcome
    ├── Done          it had its effect; `data` is the answer's JSON
    ├── NothingDone   it had none; try again
    │   └── RateLimited   nor will any other request before a time
    ├── Unknown       it may have had its effect, or may yet have
    ├── Unauthorized  the token is wrong, whatever the request
    ├── NoRoute       the route is missing, whatever the request
    ├── NoFolder      the cloud does not have the folder
    ├── TooLarge      the request must be smaller
    ├── Invalid       files of it are not acceptable; `errors` names them, if the cloud does
    └── Refused       it will never be accepted as it is

Every call has a total time limit and a limit on the answer's size, follows no redirect and uses no proxy. Sources: the
cloud's HTTP contract in docs/cloud.md; RFC 9110 on Retry-After.
"""

import asyncio
import ipaddress
import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote, urlsplit

import httpx
from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared import metrics

PREFIX = "/api/external/v1"
LONGEST_WAIT_S = 900.0
MAX_MESSAGE = 300


class CloudSettings(BaseSettings):
    """Where the cloud is and how it may be used."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore")

    clouds_url: str = Field(description="Base address of the cloud application, such as https://cloud.example.com.")
    clouds_token: Annotated[
        SecretStr, Field(min_length=1, description="Bearer token for the cloud, or CLOUDS_TOKEN_FILE with its file.")
    ]
    cloud_allow_http: bool = Field(False, description="Allow an http:// address that is not this machine's own.")
    cloud_timeout_s: float = Field(30.0, gt=0, le=40, description="Seconds that one request may take in all.")
    cloud_max_answer_bytes: int = Field(1_000_000, gt=0, description="Largest answer that is read from the cloud.")
    cloud_workers: int = Field(4, ge=1, le=64, description="Requests to the cloud that one process has open at most.")
    cloud_requests_per_minute: int | None = Field(
        None, ge=1, description="Limit for all replicas of one service together; none: no limit of our own."
    )
    cloud_ping_every_s: float = Field(60.0, gt=0, description="Seconds between two looks at the cloud's capabilities.")

    @field_validator("clouds_url")
    @classmethod
    def _address(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError("must be an http:// or https:// address")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ValueError("must hold no user, query or fragment")
        return value.rstrip("/").removesuffix(PREFIX)

    @model_validator(mode="after")
    def _encrypted_or_at_home(self) -> "CloudSettings":
        parts = urlsplit(self.clouds_url)
        if parts.scheme == "http" and not self.cloud_allow_http and not _is_loopback(parts.hostname or ""):
            raise ValueError("CLOUDS_URL would send the token unencrypted; use https:// or set CLOUD_ALLOW_HTTP=true")
        return self


@dataclass(frozen=True)
class Done:
    data: Mapping[str, Any]


@dataclass(frozen=True)
class NothingDone:
    message: str
    retry_after_s: float | None = None


@dataclass(frozen=True)
class RateLimited(NothingDone):
    pass


@dataclass(frozen=True)
class Unknown:
    message: str
    retry_after_s: float | None = None


@dataclass(frozen=True)
class Unauthorized:
    message: str


@dataclass(frozen=True)
class NoRoute:
    message: str


@dataclass(frozen=True)
class NoFolder:
    message: str


@dataclass(frozen=True)
class TooLarge:
    message: str


@dataclass(frozen=True)
class Invalid:
    message: str
    errors: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Refused:
    message: str


Outcome = Done | NothingDone | RateLimited | Unknown | Unauthorized | NoRoute | NoFolder | TooLarge | Invalid | Refused


@dataclass(frozen=True)
class Answer:
    """What came back. `body` is None unless it was JSON; `empty`: nothing but white space came."""

    status: int
    headers: Mapping[str, str]
    body: Any
    empty: bool


class Cloud:
    """The cloud's HTTP interface, for as many callers at once as there are workers."""

    def __init__(self, settings: CloudSettings, *, token: Callable[[], str]) -> None:
        self._settings = settings
        self._token = token
        self._client = httpx.AsyncClient(
            base_url=settings.clouds_url + PREFIX,
            follow_redirects=False,
            trust_env=False,
            timeout=httpx.Timeout(settings.cloud_timeout_s, connect=min(10.0, settings.cloud_timeout_s)),
            limits=httpx.Limits(max_connections=settings.cloud_workers + 1, keepalive_expiry=30),
            headers={"Accept": "application/json", "User-Agent": "ticketsync"},
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def post(
        self, call: str, path: str, body: bytes, *, repeatable: bool, idempotency_key: str | None = None
    ) -> Outcome:
        """Send once. `call` names the route in the metrics; `repeatable`: sending it twice is the same as once."""
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self._token()}"}
        if idempotency_key:
            headers["Idempotency-Key"] = idempotency_key
        with metrics.CLOUD_SECONDS.labels(call).time():
            outcome = await self._post(path, body, headers, repeatable=repeatable)
        metrics.CLOUD_REQUESTS.labels(call, type(outcome).__name__).inc()
        return outcome

    async def _post(self, path: str, body: bytes, headers: Mapping[str, str], *, repeatable: bool) -> Outcome:
        try:
            async with asyncio.timeout(self._settings.cloud_timeout_s):
                async with self._client.stream("POST", path, content=body, headers=headers) as response:
                    return classify(await self._read(response), repeatable=repeatable, now=datetime.now(UTC))
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            return NothingDone(f"the cloud cannot be reached ({type(error).__name__})")
        except TimeoutError:
            return Unknown(f"no answer within {self._settings.cloud_timeout_s:g} s")
        except httpx.HTTPError as error:
            return Unknown(f"the connection broke ({type(error).__name__})")
        except _AnswerTooLarge:
            return Unknown(f"the answer is larger than {self._settings.cloud_max_answer_bytes} bytes")

    async def _read(self, response: httpx.Response) -> Answer:
        content = bytearray()
        async for chunk in response.aiter_bytes():
            content += chunk
            if len(content) > self._settings.cloud_max_answer_bytes:
                raise _AnswerTooLarge
        try:
            body = json.loads(content)
        except ValueError:
            body = None
        return Answer(response.status_code, response.headers, body, empty=not content.strip())


class _AnswerTooLarge(Exception):
    pass


def folder_path(route: str, clouds_uuid: str) -> str:
    """`route` for this folder. The uuid comes from the cloud and may hold anything: it stays one path segment."""
    segment = quote(clouds_uuid, safe="")
    return f"{route}/{segment.replace('.', '%2E')}"


def token_reader(settings: CloudSettings) -> Callable[[], str]:
    """The token as it is now: CLOUDS_TOKEN_FILE is read again each time, so that a token changes without a restart."""
    fixed = settings.clouds_token.get_secret_value()
    file = os.environ.get("CLOUDS_TOKEN_FILE")

    def read() -> str:
        try:
            return Path(file).read_text().strip() if file else fixed
        except OSError:
            return fixed

    return read


def classify(answer: Answer, *, repeatable: bool, now: datetime) -> Outcome:  # noqa: C901, PLR0911  # one row of the table each
    """What an answer proves. `repeatable` requests (update-ticket) can be sent again whatever happened."""
    status, message = answer.status, f"{answer.status}: {_message(answer)}"
    wait_s = _retry_after_s(answer, now)
    if 200 <= status < 300:  # noqa: PLR2004
        return _success(answer, repeatable=repeatable)
    if status == 503 or (repeatable and status in {408, 425, 500, 501, 505, 507, 508}):  # noqa: PLR2004
        return NothingDone(message, wait_s)
    if status in {408, 425, 409} or status >= 500 or status < 400:  # noqa: PLR2004
        return Unknown(message, wait_s)
    match status:
        case 429:
            return RateLimited(message, wait_s)
        case 401 | 403:
            return Unauthorized(message)
        case 404 | 405:
            return NoRoute(message)
        case 400 if _says(answer, "Recording not found"):
            return NoFolder(message)
        case 413:
            return TooLarge(message)
        case 422 if _says(answer, "Idempotency-Key reused"):
            return Unknown(message, wait_s)
        case 422:
            return Invalid(message, _file_errors(answer.body))
        case _:
            return Refused(message)


def _success(answer: Answer, *, repeatable: bool) -> Outcome:
    if answer.empty and repeatable:
        return Done({})
    if not isinstance(answer.body, dict) or "error" in answer.body or "errors" in answer.body:
        return Unknown(f"{answer.status} without the documented answer")
    return Done(answer.body)


def _says(answer: Answer, message: str) -> bool:
    return isinstance(answer.body, dict) and answer.body.get("message") == message


def _message(answer: Answer) -> str:
    if not isinstance(answer.body, dict):
        return "no JSON in the answer"
    said = answer.body.get("message") or answer.body.get("status") or "no message"
    return re.sub(r"[\x00-\x1f\x7f]+", " ", str(said))[:MAX_MESSAGE]


def _file_errors(body: Any) -> dict[int, str]:  # noqa: ANN401  # whatever JSON the cloud sent
    """`errors` of a 422 by the index of the file they name: {"files.0.token": ["must be an integer"]} → {0: …}."""
    errors = body.get("errors") if isinstance(body, dict) else None
    found: dict[int, str] = {}
    for name, texts in errors.items() if isinstance(errors, dict) else ():
        named = re.fullmatch(r"files\.(\d{1,6})(?:\.(.+))?", str(name))
        if named:
            text = texts[0] if isinstance(texts, list) and texts else texts
            said = re.sub(r"[\x00-\x1f\x7f]+", " ", f"{named[2] or 'file'}: {text}")
            found.setdefault(int(named[1]), said[:MAX_MESSAGE])
    return found


def _retry_after_s(answer: Answer, now: datetime) -> float | None:
    """Seconds the cloud asks to wait: header in seconds or as a date, else `retry_after` in the body; garbage is none."""
    header = answer.headers.get("retry-after")
    said = answer.body.get("retry_after") if isinstance(answer.body, dict) else None
    for value in (header, said):
        seconds = _seconds(value, now)
        if seconds is not None:
            return min(max(seconds, 0.0), LONGEST_WAIT_S)
    return None


def _seconds(value: object, now: datetime) -> float | None:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value) if value == value and abs(value) != float("inf") else None  # noqa: PLR0124  # NaN
    if not isinstance(value, str):
        return None
    if re.fullmatch(r"\s*\d{1,9}(\.\d{1,9})?\s*", value):
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
    except (TypeError, ValueError, IndexError):
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - now.timestamp()


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
