"""One HTTP call to the cloud: sent once, within limits, and classified.

Every call has a total time limit and a limit on the answer's size, follows no redirect and uses no proxy. What came
back, or did not, becomes an `Outcome` (shared/outcome.py); nothing is raised for it. Tokens and bodies are never
logged.
"""

import asyncio
import ipaddress
import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Annotated
from urllib.parse import urlsplit

import httpx
from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared import metrics
from shared.connections import Connections
from shared.echo import without_echo
from shared.outcome import Answer, NothingDone, Outcome, Unknown, classify
from shared.path_segment import path_segment
from shared.secret_files import rereading

PREFIX = "/api/external/v1"
# Less than any usual server keeps an idle connection: one that it closes just then is an unknown outcome.
KEEPALIVE_S = 3.0
HEADERS = {"Accept": "application/json", "Accept-Encoding": "gzip, deflate", "User-Agent": "ticketsync"}
# What a header can carry: visible ASCII.
_TOKEN = re.compile(r"[!-~]+")


class CloudSettings(BaseSettings):
    """Where the cloud is and how it may be used."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    clouds_url: str = Field(description="Base address of the cloud application, such as https://cloud.example.com.")
    clouds_token: Annotated[
        SecretStr, Field(min_length=1, description="Bearer token for the cloud, or CLOUDS_TOKEN_FILE with its file.")
    ]
    cloud_allow_http: bool = Field(
        default=False, description="Allow an http:// address that is not this machine's own."
    )
    cloud_timeout_s: float = Field(
        30.0,
        gt=0,
        le=40,
        description="Seconds that one request may take in all; a third of it, at most 10, to connect.",
    )
    cloud_max_answer_bytes: int = Field(1_000_000, gt=0, description="Largest answer that is read from the cloud.")
    cloud_max_folder_bytes: int = Field(
        100_000_000, gt=0, description="Largest folder that is read back from the cloud, in bytes of JSON."
    )
    cloud_workers: int = Field(16, ge=1, le=64, description="Requests to the cloud that one process has open at most.")
    cloud_requests_per_minute: int | None = Field(
        None, ge=1, description="Limit for all replicas of one service together; none: no limit of our own."
    )
    cloud_ping_every_s: float = Field(60.0, gt=0, description="Seconds between two looks at the cloud's capabilities.")

    @field_validator("clouds_token")
    @classmethod
    def _fits_a_header(cls, value: SecretStr) -> SecretStr:
        if not _TOKEN.fullmatch(value.get_secret_value()):
            raise ValueError("must be visible ASCII characters without spaces")
        return value

    @field_validator("clouds_url")
    @classmethod
    def _address(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.port == 0:
            raise ValueError("must be an http:// or https:// address")
        try:
            httpx.URL(value)
        except httpx.InvalidURL as error:
            raise ValueError(f"must be an address: {error}") from None
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ValueError("must hold no user, query or fragment")
        return value.rstrip("/").removesuffix(PREFIX)

    @model_validator(mode="after")
    def _encrypted_or_at_home(self) -> "CloudSettings":
        parts = urlsplit(self.clouds_url)
        if parts.scheme == "http" and not self.cloud_allow_http and not _is_loopback(parts.hostname or ""):
            raise ValueError("CLOUDS_URL would send the token unencrypted; use https:// or set CLOUD_ALLOW_HTTP=true")
        return self


class Cloud:
    """The cloud's HTTP interface, for as many callers at once as there are workers.

    `dated`: the Date of the last answer, None if it had none that can be read.
    """

    def __init__(self, settings: CloudSettings, *, token: Callable[[], str]) -> None:
        self._settings = settings
        self._token = token
        self.dated: datetime | None = None
        # Both together end before the total does, which would not tell that nothing was sent.
        to_connect_s = min(10.0, settings.cloud_timeout_s / 3)
        base = settings.clouds_url + PREFIX
        self._base = httpx.URL(base)
        self._headers = {"Host": self._base.netloc.decode(), **HEADERS}
        self._timeouts = httpx.Timeout(settings.cloud_timeout_s, connect=to_connect_s, pool=to_connect_s).as_dict()
        # Neither httpx's client nor its transport, which took most of a request's time for what is not wanted here:
        # redirects, cookies, proxies of the environment, several event loops.
        self._transport = Connections(base, most=settings.cloud_workers + 1, idle_s=KEEPALIVE_S)

    @property
    def workers(self) -> int:
        """Requests that may be open at a time."""
        return self._settings.cloud_workers

    async def close(self) -> None:
        """Close the connections."""
        await self._transport.aclose()

    async def post(
        self, call: str, path: str, body: bytes, *, repeatable: bool, idempotency_key: str | None = None
    ) -> Outcome:
        """Send once. `call` names the route in the metrics; `repeatable`: sending it twice is the same as once."""
        token = self._token()
        headers = {
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            "Authorization": f"Bearer {token}",
        }
        if idempotency_key:
            headers["Idempotency-Key"] = idempotency_key
        request = self._request("POST", path, headers, body)
        limit_bytes = self._settings.cloud_max_answer_bytes
        with metrics.CLOUD_SECONDS.labels(call).time():
            outcome = await self._send(request, repeatable=repeatable, limit_bytes=limit_bytes)
        outcome = without_echo(outcome, body=body, token=token)
        metrics.CLOUD_REQUESTS.labels(call, type(outcome).__name__).inc()
        return outcome

    async def read(self, call: str, path: str) -> Outcome:
        """Ask once for what has no effect; the answer may be as long as a folder. `call` as in `post`."""
        token = self._token()
        request = self._request("GET", path, {"Authorization": f"Bearer {token}"})
        limit_bytes = self._settings.cloud_max_folder_bytes
        with metrics.CLOUD_SECONDS.labels(call).time():
            outcome = await self._send(request, repeatable=True, limit_bytes=limit_bytes)
        outcome = without_echo(outcome, body=b"{}", token=token)
        metrics.CLOUD_REQUESTS.labels(call, type(outcome).__name__).inc()
        return outcome

    def _request(self, method: str, path: str, headers: Mapping[str, str], body: bytes = b"") -> httpx.Request:
        """All that is sent, so that httpx neither takes the address apart nor looks for what headers there should be:
        that took longer than to write the request.
        """
        return httpx.Request(
            method,
            self._base,
            headers={**self._headers, **headers},
            stream=httpx.ByteStream(body),
            extensions={"timeout": self._timeouts, "target": self._base.raw_path + path.encode()},
        )

    async def _send(self, request: httpx.Request, *, repeatable: bool, limit_bytes: int) -> Outcome:
        try:
            async with asyncio.timeout(self._settings.cloud_timeout_s):
                response = await self._transport.handle_async_request(request)
                try:
                    answer = await self._read(response, limit_bytes)
                finally:
                    await response.aclose()
                self.dated = _date(answer.headers)
                return classify(answer, repeatable=repeatable, now=datetime.now(UTC))
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            return NothingDone(f"the cloud cannot be reached ({type(error).__name__})")
        except TimeoutError:
            return Unknown(f"no answer within {self._settings.cloud_timeout_s:g} s")
        except httpx.HTTPError as error:
            return Unknown(f"the connection broke ({type(error).__name__})")
        except _AnswerTooLarge:
            return Unknown(f"the answer is larger than {limit_bytes} bytes")

    async def _read(self, response: httpx.Response, limit_bytes: int) -> Answer:
        if "," in response.headers.get("content-encoding", ""):
            raise httpx.DecodingError("packed more than once")  # a few bytes may unpack to gigabytes
        content = bytearray()
        async for chunk in response.aiter_bytes():
            content += chunk
            if len(content) > limit_bytes:
                raise _AnswerTooLarge
        try:
            body = json.loads(content)
        except (ValueError, RecursionError):
            body = None
        empty = bytes(content).strip() in {b"", b"null"}
        return Answer(response.status_code, response.headers, body, empty=empty)


class _AnswerTooLarge(Exception):
    pass


def folder_path(route: str, clouds_uuid: str) -> str:
    """`route` for this folder. The uuid comes from the cloud and may hold anything: it stays one path segment."""
    return f"{route}/{path_segment(clouds_uuid)}"


def token_reader(settings: CloudSettings) -> Callable[[], str]:
    """The token as it is now: CLOUDS_TOKEN_FILE is looked at for each request, so it changes without a restart."""
    return rereading(
        "CLOUDS_TOKEN",
        settings.clouds_token.get_secret_value(),
        is_good=lambda written: _TOKEN.fullmatch(written) is not None,
    )


def _date(headers: Mapping[str, str]) -> datetime | None:
    try:
        return parsedate_to_datetime(headers.get("date", "")).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
