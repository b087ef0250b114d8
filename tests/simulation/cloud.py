"""The cloud: folders, files and tickets, with the faults that a network and an application can have.

Answers are those of the contract and go through the product's own `classify`. Every effect stands in a log that is
never cut. An armed fault meets the next request of its service, but no ping if it is about an effect; a late effect
waits until it is let through or lost.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import unquote

from shared.outcome import Answer, NothingDone, Outcome, Unknown, classify
from tests.simulation.clock import Clock
from tests.simulation.points import Pause, Point

TIME_LIMIT_S = 30.0
LATEST_EFFECT_S = 45.0
KEYS = "idempotency-key"
FAULTS = (
    "refused",
    "lost_effect",
    "lost_answer",
    "late_effect",
    "503",
    "429",
    "401",
    "404",
    "500",
    "413",
    "422",
    "bare 422",
)
_OF_AN_EFFECT = {"lost_effect", "lost_answer", "late_effect", "413", "422", "bare 422"}
_SUCCESS: dict[str, Any] = {"status": 200, "message": "Successfuly!"}


@dataclass
class File:
    """A row: the same name twice in a folder is two rows."""

    filename: str
    ticket_id: str | None
    link_version: int


@dataclass
class Folder:
    """`lost`: the cloud does not have it any more."""

    uuid: str
    name: str
    files: list[File] = field(default_factory=list)
    lost: bool = False


class Request(NamedTuple):
    """As it came."""

    service: str
    call: str
    path: str
    body: bytes
    key: str | None
    sent_at_s: float


class Effect(NamedTuple):
    """What a request did to one file. `ignored`: an older link version."""

    call: str
    uuid: str
    filename: str
    ticket_id: str | None
    key: str | None
    ignored: bool = False


class Cloud:
    """`effected` is called after every effect, `sent_again` for an upload that comes again and no keys are honoured.

    Until `out_until_s` the cloud does nothing, but for pings if it `answers_pings`. `pinged`: a ping came through.
    """

    def __init__(
        self,
        clock: Clock,
        capabilities: frozenset[str],
        effected: Callable[[], None],
        sent_again: Callable[[Request], None],
    ) -> None:
        self._clock = clock
        self._effected = effected
        self._sent_again = sent_again
        self._sent: Counter[str] = Counter()
        self.out_until_s = 0.0
        self.answers_pings = False
        self.pinged = False
        self.capabilities = capabilities
        self.folders: dict[str, Folder] = {}
        self.log: list[Effect] = []
        self.late: list[Request] = []
        self.armed: dict[str, list[str]] = defaultdict(list)
        self.fired: Counter[str] = Counter()
        self.healthy = False
        self._keys: dict[str, Answer] = {}

    def receive(self, request: Request, *, repeatable: bool) -> Outcome:
        """Have its effect, or a fault."""
        self._note(request)
        if self._clock.monotonic_s < self.out_until_s and not (request.call == "ping" and self.answers_pings):
            self.fired["an outage"] += 1
            return NothingDone("the cloud cannot be reached")
        self.pinged = self.pinged or request.call == "ping"
        armed = self.armed[request.service]
        fault = armed.pop() if armed and not (request.call == "ping" and armed[-1] in _OF_AN_EFFECT) else None
        if fault:
            self.fired[fault] += 1
        match fault:
            case "refused":
                return NothingDone("the cloud cannot be reached")
            case "lost_effect":
                return Unknown("no answer")
            case "lost_answer":
                self._perform(request)
                return Unknown("the connection broke")
            case "late_effect":
                self.late.append(request)
                return Unknown("no answer")
            case "422":
                answer = _answer(422, {"message": "invalid", "errors": {"files.0.token": ["is not accepted"]}})
            case "bare 422":
                answer = _answer(422, {"message": "invalid"})
            case None:
                answer = self._perform(request)
            case _:
                answer = _answer(int(fault), {"message": "Server Error"})
        return classify(answer, repeatable=repeatable, now=self._clock.now())

    def _note(self, request: Request) -> None:
        if request.key and KEYS not in self.capabilities and self._sent[request.key]:
            self._sent_again(request)
        self._sent[request.key or ""] += 1

    def let_through(self, place: int) -> bool:
        """A late effect takes place, if it is not too late for any request to be on its way."""
        request = self.late.pop(place)
        if self._clock.monotonic_s - request.sent_at_s > LATEST_EFFECT_S:
            return False
        self._perform(request)
        return True

    def _perform(self, request: Request) -> Answer:
        honoured = request.key if KEYS in self.capabilities else None
        if honoured and honoured in self._keys:
            return self._keys[honoured]
        answer = self._effect(request)
        if honoured and answer.status == 200:
            self._keys[honoured] = answer
        self._effected()
        return answer

    def _effect(self, request: Request) -> Answer:
        if request.call == "ping":
            return _answer(200, {**_SUCCESS, "capabilities": sorted(self.capabilities)})
        body = json.loads(request.body)
        if request.call == "create":
            uuid = f"uuid-{len(self.folders) + 1}"
            self.folders[uuid] = Folder(uuid, body["folder"])
            self._insert(request, self.folders[uuid], body["files"])
            return _answer(200, {**_SUCCESS, "data": {"uuid": uuid}})
        folder = self.folders.get(unquote(request.path.rpartition("/")[2]))
        if folder is None or folder.lost:
            return _answer(400, {"status": 400, "error": "Bad Request", "message": "Recording not found"})
        if request.call == "inject":
            self._insert(request, folder, body["files"])
            return _answer(200, _SUCCESS)
        names = {one.filename for one in folder.files}
        unknown = [place for place, one in enumerate(body["files"]) if one["filename"] not in names]
        if unknown:
            return _answer(422, {"message": "invalid", "errors": {f"files.{unknown[0]}.filename": ["is unknown"]}})
        self._update(folder, body["files"])
        return _answer(200, _SUCCESS)

    def _insert(self, request: Request, folder: Folder, files: list[dict[str, Any]]) -> None:
        for one in files:
            ticket = (one.get("ticket_info") or {}).get("ticket_id")
            folder.files.append(File(one["filename"], ticket, one.get("link_version", 0)))
            self.log.append(Effect(request.call, folder.uuid, one["filename"], ticket, request.key))

    def _update(self, folder: Folder, files: list[dict[str, Any]]) -> None:
        for one in files:
            ticket, version = (one["ticket_info"] or {}).get("ticket_id"), one.get("link_version", 0)
            rows = [row for row in folder.files if row.filename == one["filename"]]
            compares = "link-version" in self.capabilities and "link_version" in one
            ignored = compares and any(version < row.link_version for row in rows)
            self.log.append(Effect("update_ticket", folder.uuid, one["filename"], ticket, None, ignored))
            for row in rows:
                if not ignored:
                    row.ticket_id, row.link_version = ticket, version


class Client:
    """shared.cloud.Cloud as the services call it. `sent_late`: whether its last request left beyond the time limit;
    `pushed_to`: where the step of a push has sent its last."""

    workers = 2
    sent_late = False
    pushed_to: str | None = None

    def __init__(self, service: str, cloud: Cloud, clock: Clock) -> None:
        self._service = service
        self._cloud = cloud
        self._clock = clock

    async def post(
        self, call: str, path: str, body: bytes, *, repeatable: bool, idempotency_key: str | None = None
    ) -> Outcome:
        """Send once. Whoever stands still after its last look at the lease sends all the same, however late that is."""
        begun_s = self._clock.monotonic_s
        await Pause(Point.SENDING)
        if call != "ping":
            self.sent_late = self._clock.monotonic_s - begun_s > TIME_LIMIT_S
            self._cloud.fired["a sleeper sent late"] += self.sent_late
        if call == "update_ticket":
            self._cloud.fired["a push was followed by another of its claim"] += path == self.pushed_to
            self.pushed_to = path
        request = Request(self._service, call, path, body, idempotency_key, self._clock.monotonic_s)
        outcome = self._cloud.receive(request, repeatable=repeatable)
        await Pause(Point.ANSWERED)
        return outcome


def _answer(status: int, body: dict[str, Any]) -> Answer:
    return Answer(status, {}, body, empty=False)
