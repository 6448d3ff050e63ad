"""`rollcall mqtt …`: who of the third parties may connect."""

import os
import secrets
import signal
from pathlib import Path

import bcrypt
import click
from pydantic import ValidationError

from mqtt_bridge import topics
from rollcall.keys import Keys, open_folder
from rollcall.mqtt import MOST_CLIENTS, PID_FILE, May, MqttClient, read_clients, write_clients, write_users
from rollcall.running import find_running
from shared.errors import Conflict, InvalidInput, NotFound

ROUNDS = 8
"""bcrypt's cost, 17 ms: the passwords are 128 random bits, and whoever knocks costs the broker this much"""


def add_client(data: Path, name: str, may: May) -> None:
    """Let a third party in, and print its password once. Raises Conflict, InvalidInput."""
    data = open_folder(data)
    clients = read_clients(data)
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
    _let_in(data, (*clients, client))
    click.echo(f"{name} may {may}.")
    click.echo(f"Password: {password}")
    click.echo("It is shown this once.", err=True)


def list_clients(data: Path) -> None:
    """Print who may connect."""
    clients = read_clients(open_folder(data))
    for client in clients:
        click.echo(f"{client.name:24}  {client.may}")
    click.echo(f"{len(clients)} client(s)")


def remove_client(data: Path, name: str) -> None:
    """Let a third party in no more; its connection is cut. Raises NotFound."""
    data = open_folder(data)
    clients = read_clients(data)
    kept = tuple(client for client in clients if client.name != name)
    if len(kept) == len(clients):
        raise NotFound(f"没有名为 {name} 的 MQTT 客户端", f"there is no MQTT client named {name}")
    _let_in(data, kept)
    click.echo(f"{name} may no longer connect.")


def _let_in(data: Path, clients: tuple[MqttClient, ...]) -> None:
    """These and no others; the broker of a running system is told, if it listens for MQTT."""
    write_clients(data, clients)
    running = find_running(data)
    if running is None or running.mqtt is None:
        return
    folder = data / "nats"
    write_users(folder, running.mqtt, clients, Keys.of(data).broker["mqtt"])
    os.kill(int((folder / PID_FILE).read_text()), signal.SIGHUP)
