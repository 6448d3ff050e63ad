"""The gateway's parts in one place, for its routes."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

from gateway.baidu_api.face_api import FaceApi
from gateway.clockin import Indexes, Recognition
from gateway.decoding import Decoding
from gateway.feed import Feed
from gateway.frames import Frames
from gateway.reporting import Terminals, Wall
from gateway.settings import GatewaySettings
from gateway.settlements import Settled, Settlements
from gateway.terminal_streams import TerminalStreams
from gateway.throttle import bucket_of
from shared.bus import Bus
from shared.contracts.attendance import AttendanceRecorded, AttendanceRepeated
from shared.errors import Unavailable
from shared.health import Health


@dataclass
class Gateway:
    """Everything a route may need. `zone` is the school's time zone."""

    settings: GatewaySettings
    bus: Bus
    frames: Frames
    decoding: Decoding
    recognition: Recognition
    settlements: Settlements
    indexes: Indexes
    face_api: FaceApi
    wall: Wall
    terminals: Terminals
    terminal_streams: TerminalStreams
    feed: Feed
    health: Health
    zone: ZoneInfo
    _streams: Counter[str] = field(default_factory=Counter)

    @property
    def open_streams(self) -> int:
        """How many there are, walls and those without a hello included."""
        return self._streams.total()

    @contextmanager
    def room(self, address: str) -> Iterator[None]:
        """A place among the open streams and walls, for this client. Raises Unavailable when all, or all of one client,
        are taken."""
        client, settings = bucket_of(address), self.settings
        if self._streams.total() >= settings.max_sources or self._streams[client] >= settings.max_sources_per_address:
            raise Unavailable("连接数已满，请稍后再试", "too many streams are open, please try again")
        self._streams[client] += 1
        try:
            yield
        finally:
            self._streams[client] -= 1
            if not self._streams[client]:
                del self._streams[client]

    async def start(self) -> None:
        """Subscribe to all that the gateway hears."""
        await self.frames.start()
        await self.feed.start(self.bus)
        await self.indexes.start(self.bus)
        await self.face_api.start(self.bus)
        await self.terminal_streams.start()
        await self.bus.follow(AttendanceRecorded.subject, AttendanceRecorded, self._settled)
        await self.bus.follow(AttendanceRepeated.subject, AttendanceRepeated, self._settled)
        self.bus.on_reconnect(self._back)

    async def _back(self) -> None:
        self.bus.spawn(self.settlements.catch_up())

    async def _settled(self, outcome: Settled, _: str) -> None:
        self.settlements.settle(outcome)
        self.feed.show_punch(outcome)


def build(settings: GatewaySettings, events: Bus, frames_bus: Bus) -> Gateway:
    """Wire the parts; nothing runs yet."""
    zone = ZoneInfo(settings.timezone)
    frames = Frames(settings.instance, events, frames_bus)
    settlements, indexes, wall, decoding = Settlements(events), Indexes(), Wall(events), Decoding()
    health = Health("gateway")
    health.add("broker", events.ready)
    health.add("frames", frames_bus.ready)
    return Gateway(
        settings=settings,
        bus=events,
        frames=frames,
        decoding=decoding,
        recognition=Recognition(events, frames, settlements, indexes, wall, decoding),
        settlements=settlements,
        indexes=indexes,
        face_api=FaceApi.build(settings, events, frames, indexes, decoding=decoding),
        wall=wall,
        terminals=Terminals(events),
        terminal_streams=TerminalStreams(events),
        feed=Feed(zone),
        health=health,
        zone=zone,
    )
