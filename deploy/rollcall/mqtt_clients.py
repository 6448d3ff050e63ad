"""`rollcall mqtt …`: who of the third parties may connect."""

import os
import secrets
import signal
from pathlib import Path

import bcrypt
import click
from pydantic import ValidationError

from mqtt_bridge import topics
from rollcall.installation import admit, check_made
from rollcall.keys import Keys, open_folder
from rollcall.mqtt import MOST_CLIENTS, PID_FILE, May, MqttClient, read_clients, write_clients, write_users
from rollcall.running import find_running
from shared.errors import Conflict, InvalidInput, NotFound

ROUNDS = 8
"""bcrypt's cost, 17 ms: the passwords are 128 random bits, and whoever knocks costs the broker this much"""


def add_client(folder: Path, name: str, may: May, *, containers: bool = False) -> None:
    """Let a third party in, and print its password once; `containers`: the folder has the secrets of an installation
    that containers run, else the data of one on this machine. Raises Conflict, InvalidInput, DataFolderError."""
    folder = _opened(folder, containers)
    clients = read_clients(folder)
    if any(client.name == name for client in clients):
        raise Conflict(f"已有名为 {name} 的 MQTT 客户端", f"there is an MQTT client named {name} already")
    if name == topics.BRIDGE or len(clients) >= MOST_CLIENTS:
        raise Conflict("不能再添加", f"at most {MOST_CLIENTS} clients, and none is called {topics.BRIDGE}")
    password = secrets.token_hex(16)
    hashed = bcrypt.hashpw(password.encode(), bcrypt.gensalt(ROUNDS)).decode()
    try:
        client = MqttClient(name=name, may=may, password=hashed)
    except ValidationError:
        raise InvalidInput(
            "名称为 1–24 个小写字母、数字、- 或 _", "a name has 1 to 24 small letters, digits, - and _"
        ) from None
    _let_in(folder, (*clients, client), containers)
    click.echo(f"{name} may {may}.")
    click.echo(f"Password: {password}")
    click.echo("It is shown this once.", err=True)


def list_clients(folder: Path, *, containers: bool = False) -> None:
    """Print who may connect."""
    clients = read_clients(_opened(folder, containers))
    for client in clients:
        click.echo(f"{client.name:24}  {client.may}")
    click.echo(f"{len(clients)} client(s)")


def remove_client(folder: Path, name: str, *, containers: bool = False) -> None:
    """Let a third party in no more; its connection is cut. Raises NotFound."""
    folder = _opened(folder, containers)
    clients = read_clients(folder)
    kept = tuple(client for client in clients if client.name != name)
    if len(kept) == len(clients):
        raise NotFound(f"没有名为 {name} 的 MQTT 客户端", f"there is no MQTT client named {name}")
    _let_in(folder, kept, containers)
    click.echo(f"{name} may no longer connect.")


def _opened(folder: Path, containers: bool) -> Path:
    return check_made(folder) if containers else open_folder(folder)


def _let_in(folder: Path, clients: tuple[MqttClient, ...], containers: bool) -> None:
    """These and no others; the broker of a system that runs on this machine is told, if it listens for MQTT."""
    write_clients(folder, clients)
    if containers:
        admit(folder)
        click.echo("From the next start on: docker compose --profile mqtt restart mqtt", err=True)
        return
    running = find_running(folder)
    if running is None or running.mqtt is None:
        return
    broker = folder / "nats"
    write_users(broker, running.mqtt, clients, Keys.of(folder).broker["mqtt"])
    os.kill(int((broker / PID_FILE).read_text()), signal.SIGHUP)
