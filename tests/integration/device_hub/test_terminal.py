"""The simulated terminal against a real gateway and a real hub; the recognizer and the ledger are played at their
contracts, so that what they say is known."""

import asyncio
import contextlib
import io
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest
from nats.errors import TimeoutError as NatsTimeout
from PIL import Image
from pydantic import SecretStr

from gateway.app import create_app
from gateway.gateway import build
from gateway.settings import GatewaySettings
from shared.bus import Bus
from shared.bus.terminals import order
from shared.bus.topology import RECOGNIZER_CONSUMER, TURNS
from shared.contracts.attendance import AttendanceRecorded
from shared.contracts.base import now
from shared.contracts.devices import DeviceConfig, DeviceMode, DeviceState, Proof
from shared.contracts.offline import KeepPunches, PunchesKept
from shared.contracts.people import Gender, Person
from shared.contracts.recognition import Box, FaceResult, Frame, FrameCall, Result, Turn, Verdict
from shared.contracts.roster import GetRoster, RosterPage
from shared.contracts.terminals import OpenDoor, OrderOutcome, Restart, TerminalOrder, UpdateFaces
from shared.errors import Gone
from shared.runtime import background, serve_http
from shared.testing import eventually
from terminal.admission import Identity, Server
from terminal.client import Terminal
from terminal.events import Channel, Configured, Event, Obeyed, Offline, Online, Punch, Recognising
from terminal.events import Result as Seen
from terminal.library import Library
from terminal.punches import PunchStore, State
from terminal.reserve import MODE, Camera, Reserve
from terminal.sealing import open_vault
from terminal.simulator import Photo, Sight, SimulatedDoor, SimulatedTerminal
from tests.conftest import PASSWORDS, Broker
from tests.integration.device_hub.conftest import Registry, Site, StartHub

BOTH = {Channel.HUB, Channel.STREAM}
ADA = Person(student_id=1, num="01", name="Ada", class_name="A", gender=Gender.WOMAN)


def photo(shade: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (300, 400), (shade, shade, shade)).save(out, "JPEG")
    return out.getvalue()


@asynccontextmanager
async def recognizing(broker: Broker, registry: Registry, frames: list[Frame]) -> AsyncIterator[None]:
    """Takes turns; a frame that is bright in the middle is Ada, who is then recorded."""
    async with broker.connect("recognizer") as bus, background(_recognize(bus, registry, frames)):
        yield


async def _recognize(bus: Bus, registry: Registry, frames: list[Frame]) -> None:
    turns = await bus.js.pull_subscribe_bind(RECOGNIZER_CONSUMER, stream=TURNS)
    while True:
        with contextlib.suppress(NatsTimeout, Gone):
            (turn,) = await turns.fetch(1, timeout=1)
            gateway, source = Turn.parse(turn.subject)
            frame = await bus.ask_at(FrameCall.subject(gateway, source), None, Frame, FrameCall.timeout)
            frames.append(frame)
            faces = (_face(frame),) if _is_bright(frame.jpeg) else ()
            result = Result(frame_id=frame.frame_id, source=source, captured_at=frame.captured_at, faces=faces)
            await bus.publish(Result.subject_for(gateway, source), result)
            await turn.ack()
            for face in faces:
                await registry.bus.record(_recorded(frame, face))


def _is_bright(jpeg: bytes) -> bool:
    pixel: Any = Image.open(io.BytesIO(jpeg)).getpixel((320, 240))
    return bool(pixel[0] > 100)


def _face(frame: Frame) -> FaceResult:
    box = Box(left=1, top=2, width=3, height=4)
    return FaceResult(box=box, verdict=Verdict.IDENTIFIED, person=ADA, score=93, event_id=f"e-{frame.source}")


def _recorded(frame: Frame, face: FaceResult) -> AttendanceRecorded:
    return AttendanceRecorded(
        identified_event=face.event_id,
        punch_id=1,
        person=ADA,
        place=frame.place,
        source=frame.source,
        captured_at=frame.captured_at,
    )


@pytest.fixture
async def server(site: Site) -> AsyncIterator[Server]:
    """The real gateway's app beside the site's hub."""
    settings = GatewaySettings(
        nats_url=site.broker.url,
        nats_password=SecretStr(PASSWORDS["gateway"]),
        secret=SecretStr("a secret for cookies and tickets"),
        instance="g1",
        frame_interval_ms=50,
    )
    async with site.broker.connect("gateway", frames=True) as frames_bus:
        gateway = build(settings, site.gateway, frames_bus)
        await gateway.start()
        async with (
            background(gateway.frames.watch_turns()),
            serve_http(create_app(gateway), "127.0.0.1", 0, websockets=True) as port,
        ):
            yield Server(f"http://127.0.0.1:{port}", f"ws://127.0.0.1:{site.running.port}")


async def test_a_simulated_terminal_shows_its_photos_and_sees_the_answers(site: Site, server: Server) -> None:
    frames: list[Frame] = []
    photos = [Photo("Ada", photo(240)), Photo("nobody", photo(20))]
    terminal = SimulatedTerminal(
        Identity("门1", "SN1"), server, photos, seconds_each=0.6, gap_s=0.2, linger_s=0.6, dice=Random(1)
    )
    async with recognizing(site.broker, site.registry, frames), asyncio.timeout(20), terminal.playing() as sights:
        seen = [sight async for sight in sights]
    assert {frame.place for frame in frames} == {"门1"}
    assert {frame.source for frame in frames} == {"device-1"}
    assert len(frames) > 5
    assert {sight.event.channel for sight in seen if isinstance(sight.event, Online)} == BOTH
    for channel in BOTH:
        assert [face.name for face in _faces(seen, channel)][:1] == ["Ada"]
        assert any(_is_punch(sight, channel) for sight in seen)
    assert not [sight for sight in seen if isinstance(sight.event, Offline)]


def _faces(seen: list[Sight], channel: Channel) -> list[Any]:
    answers = [sight.event for sight in seen if isinstance(sight.event, Seen) and sight.event.channel is channel]
    return [face for answer in answers for face in answer.faces]


def _is_punch(sight: Sight, channel: Channel) -> bool:
    event = sight.event
    return isinstance(event, Punch) and (event.channel, event.state, event.name) == (channel, "recorded", "Ada")


@asynccontextmanager
async def running(identity: Identity, server: Server) -> AsyncIterator[list[Event]]:
    """A terminal without a camera; whether it is connected, newest last."""
    heard: list[Event] = []

    def hear(event: Event) -> None:
        if isinstance(event, Online | Offline):
            heard.append(event)

    async with background(Terminal(identity, server, hear, dice=Random(1)).run()):
        yield heard


async def test_a_terminal_comes_back_when_its_hub_sends_it_away(site: Site, server: Server) -> None:
    async with running(Identity("门1", "SN1"), server) as heard:
        await _sent_away_and_back(site, heard)
    assert isinstance(heard[1], Offline)
    assert heard[1].reason == "stopping"


async def _sent_away_and_back(site: Site, heard: list[Event]) -> None:
    await eventually(lambda: _last_is(heard, Online))
    await site.running.hub.close()

    async def is_back() -> bool:
        return len(heard) >= 3

    await eventually(is_back)
    assert [type(event) for event in heard[:3]] == [Online, Offline, Online]


async def _last_is(heard: list[Event], kind: type[Event]) -> bool:
    return bool(heard) and isinstance(heard[-1], kind)


async def test_a_terminal_that_nobody_authorised_waits_patiently(site: Site, server: Server) -> None:
    async with running(Identity("无此门", "SN0"), server) as heard:
        await eventually(lambda: _last_is(heard, Offline))
    assert isinstance(heard[-1], Offline)
    assert "9001" in heard[-1].reason
    assert heard[-1].retry_in >= 15


async def test_a_revoked_terminal_waits_patiently(site: Site, server: Server) -> None:
    async with running(Identity("门1", "SN1"), server) as heard:
        await eventually(lambda: _last_is(heard, Online))
        del site.registry.devices[1]
        await site.registry.announce(1, "removed")
        await eventually(lambda: _last_is(heard, Offline))
    assert isinstance(heard[-1], Offline)
    assert heard[-1].reason == "revoked"
    assert heard[-1].retry_in >= 15


async def test_no_server_at_all_is_no_end(site: Site) -> None:
    async with running(Identity("门1", "SN1"), Server("http://127.0.0.1:9", "ws://127.0.0.1:9")) as heard:

        async def tried_twice() -> bool:
            return sum(isinstance(event, Offline) for event in heard) >= 2

        await eventually(tried_twice)


async def test_pings_keep_the_clients_connection(site: Site, server: Server, start_hub: StartHub) -> None:
    async with (
        start_hub(instance="hub-b", heartbeat_s=0.2) as quick,
        running(Identity("门1", "SN1"), Server(server.api, f"ws://127.0.0.1:{quick.port}")) as heard,
    ):
        began = now()

        async def long_enough() -> bool:
            return (now() - began).total_seconds() > 1.2

        await eventually(long_enough)
        assert [type(event) for event in heard] == [Online]


async def test_health_is_told_over_http(site: Site) -> None:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{site.running.port}", trust_env=False) as http:
        assert (await http.get("/healthz")).json() == {"service": "device-hub", "status": "alive"}

        async def is_ready() -> bool:
            return (await http.get("/readyz")).status_code == 200

        await eventually(is_ready)
        checks = (await http.get("/readyz")).json()["checks"]
        assert checks == dict.fromkeys(("web", "broker", "devices", "lease"), "ok")
        assert (await http.get("/terminal")).status_code == 426
        assert (await http.get("/metrics")).status_code == 404  # this port is public
        await site.broker.kill()
        answer = await http.get("/readyz")
        assert (answer.status_code, answer.json()["checks"]["devices"]) == (503, "ok")
        assert (await http.get("/healthz")).status_code == 200
        await site.broker.start()
        await eventually(is_ready, 20)


async def test_a_terminal_with_a_secret_needs_no_token_for_the_hub(site: Site, server: Server) -> None:
    site.registry.put(7, proof=Proof.SECRET)
    site.registry.secrets[7] = b"s" * 64
    nobody = Server("http://127.0.0.1:9", server.hub)  # no gateway there
    heard = list[Event]()
    terminal = Terminal(Identity("门7", "SN7", "s" * 64), nobody, heard.append, dice=Random(1))
    async with background(terminal.run()):
        await eventually(lambda: _is_present(site, 7))
    assert heard == [Online(Channel.HUB), Configured(0, DeviceConfig().model_dump(mode="json"))]


@asynccontextmanager
async def way_to(port: int) -> AsyncIterator[tuple[int, list[str]]]:
    """A port that leads to another, and how each connection through it began, newest last."""
    heads: list[str] = []

    async def lead(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", port)
        head = await reader.readuntil(b"\r\n\r\n")
        heads.append(next((line for line in head.decode().split("\r\n") if line.startswith("Authorization")), ""))
        back.write(head)
        await asyncio.wait(
            [asyncio.create_task(_copy(reader, back)), asyncio.create_task(_copy(there, writer))],
            return_when=asyncio.FIRST_COMPLETED,
        )
        back.close()
        writer.close()

    server = await asyncio.start_server(lead, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], heads


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)


async def test_a_terminal_that_knows_the_hubs_time_comes_back_unasked(site: Site, server: Server) -> None:
    site.registry.put(7, proof=Proof.SECRET)
    site.registry.secrets[7] = b"s" * 64
    async with way_to(site.running.port) as (port, heads):
        nobody = Server("http://127.0.0.1:9", f"ws://127.0.0.1:{port}")
        async with running(Identity("门7", "SN7", "s" * 64), nobody) as heard:
            await _sent_away_and_back(site, heard)
    assert [head.partition(" ")[2].partition(" ")[0] for head in heads[:3]] == ["", "Rollcall", "Rollcall-At"]


async def test_a_terminal_that_the_hub_refuses_announces_itself_by_asking_for_a_token(
    site: Site, server: Server
) -> None:
    heard = list[Event]()
    terminal = Terminal(Identity("新门", "NEW", "s" * 64), server, heard.append, dice=Random(1))

    async def is_told() -> bool:
        return any(isinstance(e, Offline) and "9001" in e.reason and "office" in e.reason for e in heard)

    async with background(terminal.run()):
        await eventually(is_told)
    assert [d.name for d in site.registry.devices.values() if d.state is DeviceState.PENDING] == ["新门"]


async def _is_present(site: Site, device_id: int) -> bool:
    return await site.presence(device_id) is not None


async def test_a_terminal_obeys_once_and_takes_its_configuration_over(site: Site, server: Server) -> None:
    door, heard = SimulatedDoor(), list[Event]()
    site.registry.put(1, config_revision=4)
    await site.registry.announce(1, "edited")
    terminal = Terminal(Identity("门1", "SN1"), server, heard.append, obey=door.obey, dice=Random(1))
    async with background(terminal.run()):

        async def is_there() -> bool:
            return await site.presence(1) is not None

        await eventually(is_there)
        opening = TerminalOrder(order_id="o1", device_id=1, order=OpenDoor(), by="office")
        for _ in range(2):
            assert await order(site.gateway, opening) == OrderOutcome(ok=True, detail="simulated door opened")
        for cannot in (Restart(), UpdateFaces()):  # without a reserve there are no faces here
            unsupported = TerminalOrder(device_id=1, order=cannot, by="office")
            assert (await order(site.gateway, unsupported)).error == "unsupported"
        site.registry.put(1, config_revision=5, config=DeviceConfig(volume=11))
        await site.registry.announce(1, "edited")

        async def is_configured() -> bool:
            return any(isinstance(e, Configured) and (e.revision, e.config["volume"]) == (5, 11) for e in heard)

        await eventually(is_configured)
    assert door.opened == 1
    assert [e.command.action for e in heard if isinstance(e, Obeyed)] == ["open_door", "restart", "update_faces"]


# ---- a terminal with a reserve


class SomeEye:
    """Sees the same person again and again, by itself."""

    def __init__(self, punches: PunchStore) -> None:
        self._punches = punches
        self.looks = 0

    async def run(self, camera: Camera, hear: Callable[[Event], None], now: Callable[[], datetime]) -> None:
        while True:
            await camera()
            self.looks += 1
            made = self._punches.add("01", "Ada", now(), 90)
            if made.new:
                hear(Punch(Channel.HERE, "kept", f"here-{made.punch_id}", "Ada", "01", made.at.isoformat()))
            await asyncio.sleep(0.01)


@pytest.fixture
def reserve(tmp_path: Path) -> Iterator[Reserve]:
    vault = open_vault(tmp_path / "kept", b"secret")
    punches = PunchStore(tmp_path / "kept" / "punches.db", vault)
    yield Reserve(Library(tmp_path / "kept" / "library", vault), punches, SomeEye(punches))
    punches.close()


async def camera() -> bytes:
    await asyncio.sleep(0.01)
    return photo(20)


async def test_the_office_decides_who_recognises(site: Site, server: Server, reserve: Reserve) -> None:
    """online → offline → online while it runs; what it kept meanwhile goes to the registry; a new start remembers."""
    asked: list[KeepPunches] = []
    heard: list[Event] = []

    async def keep(batch: KeepPunches) -> PunchesKept:
        asked.append(batch)
        return PunchesKept(kept=tuple((p.seq, p.seq) for p in batch.punches))

    async def configure(revision: int, mode: DeviceMode) -> None:
        site.registry.put(1, config=DeviceConfig(mode=mode), config_revision=revision)
        await site.registry.announce(1, "edited")

    async def heard_of(event: Event) -> bool:
        return event in heard

    async def the_punches_are_kept() -> bool:
        return reserve.punches.counts()[State.KEPT] == 2

    before = now()
    reserve.punches.add("02", "Bob", before - timedelta(days=100), 80)  # by a clock that nobody had set yet
    await site.registry.bus.serve(KeepPunches, keep)
    await site.registry.bus.serve(GetRoster, _empty_roster)
    one = Identity("门1", "SN1")
    async with background(Terminal(one, server, heard.append, camera=camera, dice=Random(1), reserve=reserve).run()):
        await eventually(lambda: heard_of(Online(Channel.STREAM)))
        await eventually(lambda: heard_of(Online(Channel.HUB)))
        fetching = TerminalOrder(device_id=1, order=UpdateFaces(), by="office")
        assert await order(site.gateway, fetching) == OrderOutcome(ok=True, detail="the faces are up to date")
        await configure(5, DeviceMode.OFFLINE)
        await eventually(lambda: heard_of(Recognising(here=True)))
        await eventually(the_punches_are_kept)
        await configure(6, DeviceMode.ONLINE)
        await eventually(lambda: heard_of(Recognising(here=False)))
        await configure(7, DeviceMode.OFFLINE)
        await eventually(lambda: _noted(reserve, "offline"))
    told = [punch for batch in asked for punch in batch.punches]
    assert [(punch.who, punch.score) for punch in told] == [("02", 80), ("01", 90)]
    assert abs(told[0].at - before) < timedelta(seconds=5)
    assert {batch.device_id for batch in asked} == {1}
    heard.clear()
    nowhere = Server("http://127.0.0.1:9", "ws://127.0.0.1:9")
    async with background(Terminal(one, nowhere, heard.append, camera=camera, reserve=reserve).run()):
        await eventually(lambda: heard_of(Recognising(here=True)))
    assert not [event for event in heard if isinstance(event, Offline) and event.channel is Channel.STREAM]


async def _empty_roster(asked: GetRoster) -> RosterPage:
    return RosterPage(revision=1, head=1)


async def _noted(reserve: Reserve, mode: str) -> bool:
    return reserve.punches.noted(MODE) == mode


async def test_whom_the_office_suspends_recognises_nobody_by_itself_until_it_is_let_in_again(
    site: Site, server: Server, reserve: Reserve
) -> None:
    one, heard = Identity("门1", "SN1"), list[Event]()

    async def heard_of(event: Event) -> bool:
        return event in heard

    async def tried_twice() -> bool:
        return sum(isinstance(event, Offline) for event in heard) >= 2

    await site.registry.bus.serve(GetRoster, _empty_roster)
    site.registry.put(1, config_revision=1, config=DeviceConfig(mode=DeviceMode.OFFLINE))
    await site.registry.announce(1, "edited")
    async with background(Terminal(one, server, heard.append, camera=camera, dice=Random(1), reserve=reserve).run()):
        await eventually(lambda: heard_of(Recognising(here=True)))
        site.registry.put(1, state=DeviceState.SUSPENDED)
        await site.registry.announce(1, "suspended")
        await eventually(lambda: heard_of(Recognising(here=False)))
    heard.clear()
    nowhere = Server("http://127.0.0.1:9", "ws://127.0.0.1:9")
    async with background(Terminal(one, nowhere, heard.append, camera=camera, dice=Random(1), reserve=reserve).run()):
        await eventually(tried_twice, 20)
    assert Recognising(here=True) not in heard
    site.registry.put(1, config_revision=1, config=DeviceConfig(mode=DeviceMode.OFFLINE))
    await site.registry.announce(1, "authorised")
    async with background(Terminal(one, server, heard.append, camera=camera, dice=Random(1), reserve=reserve).run()):
        await eventually(lambda: heard_of(Recognising(here=True)), 20)
