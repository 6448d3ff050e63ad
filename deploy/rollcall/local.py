"""A whole Rollcall on this machine: a broker and the services as processes, under one supervisor."""

import asyncio
import contextlib
import ipaddress
import itertools
import os
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from rollcall.broker import BrokerError, start_broker, stop_broker
from rollcall.keys import DataFolderError, Keys, open_folder
from rollcall.mqtt import May, MqttOptions, read_clients
from rollcall.running import FolderLock, Running, note_path, says_ok, write_note
from rollcall.supervisor import FIRST_PAUSE_S, LONGEST_PAUSE_S, Child, Show, say
from shared.runtime import background
from shared.vision.weights import WeightError, Weights

ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
"""A recognizer is one core; libraries that start a thread per core only fight each other for it."""

MMAP_ABOVE = {"MALLOC_MMAP_THRESHOLD_": "1048576"}
"""glibc's, for recognizers: arrays of a megabyte go back to the system when they are freed. Left to itself glibc
raises the bound after the first large one and keeps what was freed: 380 instead of 342 MB at a million faces
(bench/README.md, Search)."""

READY_S = 60.0
"""The slowest machine we know needs 20 s for its first start; after this something is wrong."""

PORTS = range(20_000, 32_000)
"""to choose from: below those that systems give to outgoing connections (Linux: from 32,768 up), one of which might
take a port before its server does"""
_calls = itertools.count()

LAST = frozenset({"registry", "mqtt-bridge"})
"""stopped after the others, whose last news they hear"""


class CannotStart(Exception):
    """One sentence for the operator."""


@dataclass(frozen=True, slots=True)
class Options:
    """What `rollcall up` can be told."""

    data: Path = Path("data")
    host: str = "127.0.0.1"
    port: int = 8000
    hub_port: int = 0
    """0: port + 1"""
    recognizers: int = 0
    """0: one per core less one, at least one"""
    hubs: int = 1
    """more than one share the address"""
    database: str = ""
    """empty: SQLite in the data folder"""
    mqtt: MqttOptions | None = None
    """None: no third party may connect"""


def default_recognizers() -> int:
    """One per core less one, at least one."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores - 1)


@dataclass(slots=True)
class System:
    """A running system. `children` by name; tests and the curious may kill one and watch it come back."""

    options: Options
    keys: Keys
    running: Running
    children: dict[str, Child]
    broker: "BrokerChild"

    @property
    def ready_urls(self) -> dict[str, str]:
        """Where each child says whether it is ready."""
        return {name: f"{url}/readyz" for name, url in self.running.admin_urls.items()}


class BrokerChild:
    """The nats-server, restarted when it dies, on the same port and store."""

    def __init__(
        self, options: Options, port: int, monitor_port: int, keys: Keys, show: Show, lock: FolderLock
    ) -> None:
        self._options, self._port, self._monitor_port = options, port, monitor_port
        self._keys, self._show, self._lock = keys, show, lock
        self._wanted = asyncio.Event()
        self.process: asyncio.subprocess.Process | None = None

    @property
    def monitor_url(self) -> str:
        """nats-server's own HTTP monitoring, on loopback."""
        return f"http://127.0.0.1:{self._monitor_port}"

    async def start(self) -> None:
        """Raises BrokerError, DataFolderError."""
        mqtt = self._options.mqtt
        try:
            self.process = await start_broker(
                self._options.data / "nats",
                port=self._port,
                monitor_port=self._monitor_port,
                passwords=self._keys.broker,
                mqtt=mqtt,
                clients=read_clients(self._options.data) if mqtt else (),
                inherit=(self._lock.descriptor,),
            )
        except OSError as error:  # no room for its files, no descriptor, no process
            raise BrokerError(f"nats-server cannot be started ({error}).") from error
        self._wanted.set()

    async def keep_running(self) -> None:
        """Start again whenever it ends, but for `stop`; for as long as this runs."""
        while True:
            await self._wanted.wait()
            if self.process is not None:
                status = await self.process.wait()
                if self._wanted.is_set():
                    say(self._show, "nats", f"ended with status {status}; starting again")
                    await self._insist()

    async def _insist(self) -> None:
        """Try until it runs, or is not wanted any more."""
        pause = FIRST_PAUSE_S
        while True:
            await asyncio.sleep(pause)
            if not self._wanted.is_set():
                return
            try:
                await self.start()
            except (BrokerError, DataFolderError) as error:
                pause = min(pause * 2, LONGEST_PAUSE_S)
                say(self._show, "nats", f"{error} Trying again in {pause:.1f} s")
            else:
                return

    async def stop(self) -> None:
        self._wanted.clear()
        if self.process is not None:
            await stop_broker(self.process)


@asynccontextmanager
async def local_system(options: Options, show: Show, progress: Callable[[str], None]) -> AsyncIterator[System]:
    """Run everything while inside; yields when every service is ready.

    Raises CannotStart, DataFolderError or BrokerError, each with one sentence, and leaves nothing running. Should
    nobody watch over a process any more, the body is cancelled and CannotStart is raised.
    """
    data = open_folder(options.data)
    _check_weights()
    options = _resolved(options, data)
    _check_port(options.host, options.port, "--port")
    _check_port(options.host, options.hub_port, "--hub-port")
    lock = FolderLock(data)
    async with AsyncExitStack() as stack:
        stack.callback(lock.release)
        lock.take()
        if options.mqtt is not None:  # a broker that a killed system left has let its port go now
            _check_mqtt(options.mqtt, options.data)
        system = await _start(stack, options, Keys.of(data), lock, show, progress)
        yield system


async def _start(
    stack: AsyncExitStack, options: Options, keys: Keys, lock: FolderLock, show: Show, progress: Callable[[str], None]
) -> System:
    port, monitor_port = free_port(), free_port()
    broker = BrokerChild(options, port, monitor_port, keys, show, lock)
    progress("starting nats-server")
    await broker.start()
    stack.push_async_callback(broker.stop)
    running = Running(
        pid=os.getpid(),
        nats_url=f"nats://127.0.0.1:{port}",
        url=f"http://{_shown(options.host)}:{options.port}",
        hub_url=f"ws://{_shown(options.host)}:{options.hub_port}",
        mqtt=options.mqtt,
        admin_urls={plan.name: f"http://127.0.0.1:{free_port()}" for plan in _plans(options, keys)},
    )
    children = _children(options, keys, running, show)
    system = System(options, keys, running, children, broker)
    watches = {"nats": broker.keep_running(), **{name: child.keep_running() for name, child in children.items()}}
    stack.push_async_callback(_stop, system)  # once more: whom a watch was starting when it was told to end
    await stack.enter_async_context(background(*(_to_the_end(name, watch) for name, watch in watches.items())))
    stack.push_async_callback(_stop, system)
    write_note(options.data, running)
    stack.callback(note_path(options.data).unlink, missing_ok=True)
    await _until_ready(system, progress)
    return system


async def _to_the_end(name: str, watch: Coroutine[Any, Any, None]) -> None:
    """Raises CannotStart for what a watch dies of: a process that nobody watches over is worse than none."""
    try:
        await watch
    except Exception as error:
        raise CannotStart(f"Nobody watches over {name} any more ({error!r}): everything is stopped.") from error


async def _stop(system: System) -> None:
    """Those that people and terminals talk to, then those whom these tell their last news, then (by the exit stack) the
    broker that all of them say it through."""
    heard = [child for name, child in system.children.items() if name in LAST]
    talking = [child for name, child in system.children.items() if name not in LAST]
    for group in (talking, heard):
        await asyncio.gather(*(child.stop() for child in group))


Settings = Mapping[str, str | int]


@dataclass(frozen=True, slots=True)
class Plan:
    """A process to start: its module, its NATS user, its own settings and environment."""

    name: str
    module: str
    user: str
    settings: Settings = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)


def _plans(options: Options, keys: Keys) -> list[Plan]:
    registry: Settings = {"database": options.database, "library_key": keys.library}
    web: Settings = {"host": options.host, "port": options.port, "secret": keys.web}
    hub: Settings = {"host": options.host, "port": options.hub_port, "token_secret": keys.token}
    return [
        Plan("registry", "registry", "registry", settings=registry),
        *(
            Plan(f"recognizer-{n}", "recognizer", "recognizer", env=MMAP_ABOVE)
            for n in range(1, options.recognizers + 1)
        ),
        Plan("gateway", "gateway", "gateway", web),
        *_hubs(options, hub),
        *_bridge(options, keys),
    ]


def _hubs(options: Options, settings: Settings) -> list[Plan]:
    if options.hubs == 1:
        return [Plan("device-hub", "device_hub", "hub", settings)]
    shared: Settings = {**settings, "share_port": 1}
    return [Plan(f"device-hub-{n}", "device_hub", "hub", settings=shared) for n in range(1, options.hubs + 1)]


def _bridge(options: Options, keys: Keys) -> list[Plan]:
    mqtt = options.mqtt
    if mqtt is None:
        return []
    may = {client.name: client.may for client in read_clients(options.data)}
    settings: dict[str, str | int] = {
        "mqtt_host": _shown(mqtt.host),
        "mqtt_port": mqtt.port,
        "mqtt_password": keys.broker["mqtt"],
        "mqtt_names": int(mqtt.names),
        "mqtt_discovery": mqtt.discovery,
        "mqtt_home_assistant": mqtt.home_assistant,
        "mqtt_home_assistant_commands": int(may.get(mqtt.home_assistant) is May.COMMAND),
    }
    if mqtt.cert is not None:
        settings["mqtt_ca"] = str(mqtt.cert.absolute())
    return [Plan("mqtt-bridge", "mqtt_bridge", "mqtt", settings=settings)]


def _children(options: Options, keys: Keys, running: Running, show: Show) -> dict[str, Child]:
    """The service processes."""
    children: dict[str, Child] = {}
    for plan in _plans(options, keys):
        settings = {
            "nats_url": running.nats_url,
            "nats_password": keys.broker[plan.user],
            "data": options.data,
            "instance": plan.name,
            "health_port": urlsplit(running.admin_urls[plan.name]).port or 0,
            "log_pretty": 1,
            **plan.settings,
        }
        env = {f"ROLLCALL_{key.upper()}": str(value) for key, value in settings.items()} | ONE_THREAD
        env |= plan.env
        children[plan.name] = Child(plan.name, plan.module, env, show)
    return children


async def _until_ready(system: System, progress: Callable[[str], None]) -> None:
    """Raises CannotStart when a service keeps ending or is not ready in READY_S."""
    waiting = {name: urlsplit(url) for name, url in system.ready_urls.items()}
    try:
        async with asyncio.timeout(READY_S):
            while waiting:
                for name in [name for name, url in waiting.items() if await says_ok(url.port or 0, url.path)]:
                    progress(f"{name} is ready")
                    del waiting[name]
                for name in waiting:
                    if system.children[name].restarts >= 3:
                        raise CannotStart(f"{name} does not start; its log above says why.")
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise CannotStart(f"not ready after {READY_S:.0f} s: {', '.join(waiting)}; see the log above.") from None


def _resolved(options: Options, data: Path) -> Options:
    return Options(
        data=data,
        host=options.host,
        port=options.port,
        hub_port=options.hub_port or options.port + 1,
        recognizers=options.recognizers or default_recognizers(),
        hubs=options.hubs,
        database=options.database or f"sqlite+aiosqlite:///{data / 'rollcall.db'}",
        mqtt=options.mqtt,
    )


def _check_mqtt(mqtt: MqttOptions, data: Path) -> None:
    """Raises CannotStart."""
    if (mqtt.cert is None) is not (mqtt.key is None):
        raise CannotStart("--mqtt-cert and --mqtt-key belong together.")
    if mqtt.cert is None and not _is_loopback(mqtt.host):
        raise CannotStart(
            f"--mqtt-host {mqtt.host} would send passwords and names over the network in clear: "
            "give --mqtt-cert and --mqtt-key."
        )
    _check_port(mqtt.host, mqtt.port, "--mqtt")
    if mqtt.home_assistant and mqtt.home_assistant not in {client.name for client in read_clients(data)}:
        raise CannotStart(
            f"There is no MQTT client named {mqtt.home_assistant}; first: rollcall mqtt add {mqtt.home_assistant} "
            f"--may command --data {data}"
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _check_weights() -> None:
    try:
        weights = Weights.load()
        for name in ("yunet", "sface"):
            weights.find(name)
    except WeightError as error:
        raise CannotStart(str(error)) from None


def _check_port(host: str, port: int, flag: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as error:
        raise CannotStart(
            f"Port {port} on {host} cannot be used ({error.strerror}); choose another with {flag}."
        ) from None


def free_port() -> int:
    """A TCP port on loopback that nobody listens on just now and that this process has not given out lately: who asked
    may listen there later. Raises CannotStart."""
    for call in itertools.islice(_calls, 100):
        port = candidate(os.getpid(), call)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise CannotStart(f"no free TCP port in {PORTS.start}–{PORTS.stop - 1}")


def candidate(process: int, call: int) -> int:
    """The port that a process tries at its call-th question: every one of PORTS before the first comes again.

    Both factors share no divisor with the number of ports. The first one lets processes with neighbouring ids begin far
    apart (it is the golden section of the number), the second one leaves the next port, which is the hub's by default,
    to a much later call.
    """
    return PORTS[(process * 7_417 + call) * 1_009 % len(PORTS)]


def _shown(host: str) -> str:
    """An address that this machine can open."""
    if host in ("0.0.0.0", "::"):  # noqa: S104 - compared, not bound
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host
