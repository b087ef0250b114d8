"""Asks the services' HTTP APIs, and turns whatever goes wrong into a message that says what to do.

In: a path and its parameters. Out: a checked answer, or one of the `Stop`s of ops.exits. Every call has a total time
limit and a limit on the answer's size. 503 and 429 with Retry-After (a service that is still catching up, or has too
many callers) are waited for within that limit; nothing else is repeated, since only the service knows what it has done.
"""

import asyncio
import ssl
from collections.abc import AsyncIterable, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import cache
from types import TracebackType
from typing import Any, BinaryIO, Self, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from ops.addresses import SETTING_OF_KEY, Addresses, Service
from ops.answers.status import Readiness
from ops.exits import Exit, Misconfigured, Stop, Unreachable
from shared.callers import REQUESTED_BY

TIME_LIMIT_S = 30.0
ANSWER_LIMIT_BYTES = 64 * 1024 * 1024
NOT_NOW = (httpx.codes.SERVICE_UNAVAILABLE, httpx.codes.TOO_MANY_REQUESTS)
RETRY_AFTER_DEFAULT_S = 0.5
RETRY_AFTER_LIMIT_S = 5.0
ASK_FOR_IT = "Set API_TOKEN, or API_TOKEN_FILE, to the token that the service has now."
ASK_DOCTOR = "See what is wrong: ticketsync doctor"

Answer = TypeVar("Answer", bound=BaseModel)
Parameters = Mapping[str, str | int | bool | Sequence[str] | None]


class Refused(Stop):
    """The service understood and says no; `status` is the HTTP status, `problem` the body (RFC 9457)."""

    def __init__(self, service: str, status: int, problem: Mapping[str, Any]) -> None:
        detail = str(problem.get("detail") or problem.get("title") or f"HTTP {status}")
        super().__init__(f"{service}: {detail}")
        # Unknown and ambiguous are findings about the data; everything else that is refused was asked wrongly.
        self.code = Exit.FINDING if status in {404, 409, 410} else Exit.USAGE
        self.status = status
        self.problem = problem


class BehindIt(Unreachable):
    """The service answers, and says (502) that the cloud does not, or not as it should."""


class ServiceApi:
    """The HTTP API of one service."""

    def __init__(self, service: Service, url: str, token: str, *, by: str | None = None) -> None:
        """`by`: who asks, for the audit record of what is changed."""
        self.service = service.replace("_", "-")
        self.url = url
        self._setting = SETTING_OF_KEY[f"{service}_url"]
        headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
        if by:
            headers[REQUESTED_BY] = by
        try:
            self._client = httpx.AsyncClient(
                base_url=url,
                headers=[(name.encode(), value.encode()) for name, value in headers.items()],
                timeout=None,  # noqa: S113 - each call has a total time limit, which covers every part of it
                # Authorities are read from a file, which takes as long as several calls: only where they are asked.
                verify=_authorities() if httpx.URL(url).scheme != "http" else False,
                trust_env=False,
                follow_redirects=False,
            )
        except httpx.InvalidURL as error:
            raise Misconfigured(f"{self._setting}: {url} is no URL ({error})") from None
        if self._client.base_url.scheme not in {"http", "https"}:
            raise Misconfigured(f"{self._setting}: {url} is no URL (it begins with http:// or https://)")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()

    async def get(self, path: str, answer: type[Answer], params: Parameters | None = None) -> Answer:
        """Read something; raises as `call` does."""
        return await self.call("GET", path, answer, params)

    async def find(self, path: str, answer: type[Answer]) -> Answer | None:
        """Read something that may not be there; None: it is not. Raises as `call` does else."""
        try:
            return await self.get(path, answer)
        except Refused as refused:
            if refused.status != httpx.codes.NOT_FOUND:
                raise
            return None

    async def call(
        self,
        method: str,
        path: str,
        answer: type[Answer],
        params: Parameters | None = None,
        *,
        json: Mapping[str, Any] | None = None,
        content: AsyncIterable[bytes] | None = None,
        time_limit_s: float = TIME_LIMIT_S,
    ) -> Answer:
        """One call, repeated while the service catches up. Parameters that are None are left out.

        Raises Refused, Unreachable, or Misconfigured if the service does not know the token.
        """
        given = {name: value for name, value in (params or {}).items() if value is not None}
        request = self._client.build_request(method, path, params=given, json=json, content=content)
        status, body = await self._exchange(request, time_limit_s)
        if not httpx.codes.is_success(status):
            raise self._refusal(status, body)
        return self._parse(answer, status, body)

    async def save(self, path: str, into: BinaryIO, *, time_limit_s: float) -> None:
        """Write an answer to a file as it comes. Raises as `call` does, or OSError of the file."""
        try:
            async with asyncio.timeout(time_limit_s), self._client.stream("GET", path) as response:
                if not response.is_success:
                    raise self._refusal(response.status_code, await self._body_of(response))
                async for chunk in response.aiter_bytes():
                    into.write(chunk)
        except TimeoutError:
            raise self._unreachable(f"did not answer within {time_limit_s:g} s") from None
        except httpx.HTTPError as error:
            raise self._unreachable(f"cannot be reached ({_in_words(error)})") from None

    async def readiness(self) -> Readiness:
        """Whether the service does its work; 503 is an answer to that too."""
        status, body = await self._exchange(self._client.build_request("GET", "/readyz"), TIME_LIMIT_S)
        return self._parse(Readiness, status, body)

    async def _exchange(self, request: httpx.Request, time_limit_s: float) -> tuple[int, bytearray]:
        """Status and body, sent again while the answer is 503 or 429 with Retry-After."""
        status, body = 0, bytearray()
        try:
            async with asyncio.timeout(time_limit_s):
                while True:
                    status, body, retry_after = await self._send(request)
                    if status not in NOT_NOW or retry_after is None:
                        return status, body
                    await asyncio.sleep(_seconds(retry_after))
        except TimeoutError:
            if status:
                return status, body
            raise self._unreachable(f"did not answer within {time_limit_s:g} s") from None
        except httpx.HTTPError as error:
            raise self._unreachable(f"cannot be reached ({_in_words(error)})") from None

    async def _send(self, request: httpx.Request) -> tuple[int, bytearray, str | None]:
        response = await self._client.send(request, stream=True)
        try:
            body = await self._body_of(response)
        finally:
            await response.aclose()
        return response.status_code, body, response.headers.get("Retry-After")

    async def _body_of(self, response: httpx.Response) -> bytearray:
        body = bytearray()
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) > ANSWER_LIMIT_BYTES:
                raise self._unreachable(f"answered more than {ANSWER_LIMIT_BYTES} bytes")
        return body

    def _refusal(self, status: int, body: bytearray) -> Stop:
        """What an answer means that is no success."""
        if status in {401, 403}:
            return Misconfigured(
                f"{self.service} at {self.url} does not accept this API_TOKEN (HTTP {status})", todo=ASK_FOR_IT
            )
        problem = self._parse(_Problem, status, body)
        if httpx.codes.is_client_error(status):
            return Refused(self.service, status, problem.model_dump(exclude_none=True))
        why = f"answered HTTP {status}: {problem.detail or problem.title or 'no reason given'}"
        if status == httpx.codes.BAD_GATEWAY:
            return BehindIt(f"{self.service} at {self.url} {why}", todo=ASK_DOCTOR)
        return self._unreachable(why)

    def _parse(self, answer: type[Answer], status: int, body: bytearray) -> Answer:
        try:
            return answer.model_validate_json(body)
        except ValidationError:
            raise self._unreachable(
                f"answered HTTP {status} in a form that {self.service} does not use; is {self._setting} right?"
            ) from None

    def _unreachable(self, what: str) -> Unreachable:
        return Unreachable(f"{self.service} at {self.url} {what}", todo=ASK_DOCTOR)


class _Problem(BaseModel, extra="allow"):
    """problem+json, or whatever else stands between us and the service answers with."""

    title: str | None = None
    detail: str | None = None


@asynccontextmanager
async def api(addresses: Addresses, service: Service, *, by: str | None = None) -> AsyncIterator[ServiceApi]:
    """The API of one service at its address, asked in the name of `by`."""
    async with ServiceApi(service, addresses.service_url(service), addresses.api_token, by=by) as opened:
        yield opened


@cache
def _authorities() -> ssl.SSLContext:
    return httpx.create_ssl_context(trust_env=False)


def _in_words(error: httpx.HTTPError) -> str:
    """What went wrong; of a request that is no HTTP its kind alone, as its text shows the headers, with the token."""
    return type(error).__name__ if isinstance(error, httpx.LocalProtocolError) else str(error) or type(error).__name__


def _seconds(retry_after: str) -> float:
    return min(float(retry_after), RETRY_AFTER_LIMIT_S) if retry_after.isdecimal() else RETRY_AFTER_DEFAULT_S
