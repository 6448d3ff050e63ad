"""A gateway in memory, for the pages: real settings and health, scripted recognition, a feed by hand."""

import asyncio
from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from gateway.baidu_api.face_api import FaceApi
from gateway.clockin import NOBODY, Answer, Enrolled, StudentForm
from gateway.decoding import Decoding
from gateway.settings import GatewaySettings
from shared.contracts.hubs import Presence
from shared.contracts.terminals import OrderOutcome, TerminalOrder
from shared.health import Health
from tests.unit.gateway.baidu.vision_double import IndexesDouble, VisionDouble
from tests.unit.gateway.pages.registry_double import ZONE, RegistryDouble

SECRET = "a secret of the tests, long enough to sign with"
STRANGER = Answer(NOBODY.code, NOBODY.zh, NOBODY.en)


class RecognitionDouble:
    """Answers what the test put there; an exception is raised."""

    def __init__(self, registry: RegistryDouble) -> None:
        self._registry = registry
        self.answer: Answer | Exception = STRANGER
        self.refusal: Exception | None = None
        self.searchable = True
        self.pictures_leave = False
        self.seen: list[tuple[bytes, str]] = []
        self.enrolled: list[tuple[StudentForm, bytes]] = []

    async def clock_in(self, picture: bytes, place: str) -> Answer:
        self.seen.append((picture, place))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    async def enrol(self, form: StudentForm, picture: bytes, *, may_leave: bool = False) -> Enrolled:
        if self.refusal:
            raise self.refusal
        assert may_leave or not self.pictures_leave, "a picture would leave without consent"
        person = self._registry.add_student(form.num, form.name, form.class_name, form.gender, picture)
        self.enrolled.append((form, picture))
        return Enrolled(person, self.searchable)

    async def wait_until_searchable(self, revision: int) -> bool:
        return self.searchable


class TerminalsDouble:
    """Answers orders as the test put it there; an exception is raised."""

    def __init__(self) -> None:
        self.answer: OrderOutcome | Exception = OrderOutcome(ok=True)
        self.ordered: list[TerminalOrder] = []
        self.online: dict[int, Presence] | Exception = {}
        self.looked_up: list[int] = []

    async def connected(self, device_ids: Collection[int]) -> dict[int, Presence]:
        self.looked_up.extend(device_ids)
        if isinstance(self.online, Exception):
            raise self.online
        return {key: presence for key, presence in self.online.items() if key in device_ids}

    async def order(self, asked: TerminalOrder) -> OrderOutcome:
        self.ordered.append(asked)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class FeedDouble:
    """A feed whose lines the test says."""

    def __init__(self) -> None:
        self._recent: list[dict[str, Any]] = []
        self._viewers: set[asyncio.Queue[dict[str, Any]]] = set()

    @property
    def viewers(self) -> int:
        return len(self._viewers)

    @asynccontextmanager
    async def subscribe(self) -> AsyncIterator[asyncio.Queue[dict[str, Any]]]:
        queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue(200)
        self._viewers.add(queue)
        try:
            yield queue
        finally:
            self._viewers.discard(queue)

    def recent(self) -> list[dict[str, Any]]:
        return list(self._recent)

    def say(self, item: dict[str, Any]) -> None:
        self._recent.append(item)
        for queue in self._viewers:
            queue.put_nowait(item)


class GatewayDouble:
    """What a route may need of a gateway."""

    def __init__(self, **settings: Any) -> None:
        given = {"nats_password": "none", "secret": SECRET, "timezone": ZONE.key, **settings}
        self.settings = GatewaySettings(**given)
        self.zone = ZONE
        self.bus = self.registry = RegistryDouble()
        self.recognition = RecognitionDouble(self.registry)
        self.terminals = TerminalsDouble()
        self.feed = FeedDouble()
        self.frames, self.indexes, self.decoding = VisionDouble(), IndexesDouble(), Decoding()
        self.face_api = FaceApi.build(
            self.settings,
            self.bus,  # type: ignore[arg-type]
            self.frames,
            self.indexes,  # type: ignore[arg-type]
        )
        self.health = Health("gateway")

    @contextmanager
    def room(self, address: str) -> Iterator[None]:
        yield
