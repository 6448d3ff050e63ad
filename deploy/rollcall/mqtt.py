"""MQTT for third parties: who may connect, with what rights, and the broker's listener for them.

The commands are in mqtt_clients.py.
"""

from enum import StrEnum
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from mqtt_bridge import topics
from rollcall.keys import DataFolderError, write_private

MOST_CLIENTS = 100
MOST_CONNECTIONS = 2 * MOST_CLIENTS
ACCOUNT = "MQTT"
"""the broker's account of third parties: nothing that the services say to each other exists in it"""
LISTENER_FILE, USERS_FILE, PID_FILE = "mqtt.conf", "mqtt-users.conf", "nats.pid"


class May(StrEnum):
    """What a client may do."""

    READ = "read"
    COMMAND = "command"
    """read, open doors and show messages"""


class MqttClient(BaseModel):
    """A third party's access. `password` is bcrypt's hash."""

    model_config = ConfigDict(frozen=True)

    name: str = Field(pattern=f"^{topics.CLIENT_NAME}$")
    may: May
    password: str = Field(pattern=r"^\$2b\$[0-9]{2}\$[./A-Za-z0-9]{53}$")


class MqttOptions(BaseModel):
    """What `rollcall up --mqtt` can be told."""

    model_config = ConfigDict(frozen=True)

    host: str = "127.0.0.1"
    port: int = 1883
    cert: Path | None = None
    key: Path | None = None
    names: bool = True
    home_assistant: str = ""
    """the client that is a Home Assistant; empty: none"""
    discovery: str = Field(default="homeassistant", pattern=r"^[a-z0-9_-]{1,32}$")
    """the prefix of Home Assistant's discovery topics"""


_CLIENTS = TypeAdapter(tuple[MqttClient, ...])


def read_clients(data: Path) -> tuple[MqttClient, ...]:
    """Who may connect. Raises DataFolderError."""
    path = _clients_path(data)
    try:
        return _CLIENTS.validate_json(path.read_bytes())
    except FileNotFoundError:
        return ()
    except (OSError, ValidationError) as error:
        raise DataFolderError(f"{path} cannot be read ({type(error).__name__}).") from None


def write_clients(data: Path, clients: tuple[MqttClient, ...]) -> None:
    """Remember who may connect; the broker is told by whoever calls."""
    write_private(_clients_path(data), _CLIENTS.dump_json(clients, indent=2).decode())


def _clients_path(data: Path) -> Path:
    return data / "mqtt-clients.json"


# ---- the broker's configuration


def write_listener(folder: Path, options: MqttOptions, clients: tuple[MqttClient, ...], bridge_password: str) -> None:
    """What nats.conf includes, beside it."""
    write_private(folder / LISTENER_FILE, listener(options))
    write_users(folder, options, clients, bridge_password)


def write_users(folder: Path, options: MqttOptions, clients: tuple[MqttClient, ...], bridge_password: str) -> None:
    """Who may connect, beside nats.conf."""
    write_private(folder / USERS_FILE, account(options, clients, bridge_password))


def listener(options: MqttOptions) -> str:
    """Where and how the broker listens.

    No `consumer_inactive_threshold`: a session whose consumer was forgotten comes back, subscribes again, is granted
    it, and hears nothing for ever (nats-server 2.15.1).
    """
    tls = ""
    if options.cert and options.key:
        tls = f'tls {{ cert_file: "{options.cert.absolute()}", key_file: "{options.key.absolute()}" }}'
    return f"""mqtt {{
  host: "{options.host}", port: {options.port}
  max_ack_pending: 100, ack_wait: "10s", reject_qos2_publish: true
  {tls}
}}
"""


def account(options: MqttOptions, clients: tuple[MqttClient, ...], bridge_password: str) -> str:
    """The account of third parties: the bridge, and each client with its least rights."""
    own = _subjects(*topics.bridge_rights(options.discovery))
    users = [_user(topics.BRIDGE, bridge_password, own, own)]
    users += [_client(client, options) for client in clients]
    newline = "\n"
    return f"""{ACCOUNT}: {{
  jetstream: {{ max_mem: 64MB, max_file: 1GB }}
  limits: {{ max_connections: {MOST_CONNECTIONS}, max_subscriptions: 4000, max_payload: 4096 }}
  users: [
{newline.join(users)}
  ]
}}
"""


def _client(client: MqttClient, options: MqttOptions) -> str:
    read = topics.readable(client.name)
    write = topics.commandable(client.name) if client.may is May.COMMAND else ()
    if client.name == options.home_assistant:
        read = (*read, f"{options.discovery}/#")
        write = (*write, f"{options.discovery}/status")
    # Each subscription with QoS 1 has a private subject here; the server lets no client subscribe to one by itself.
    return _user(client.name, client.password, _subjects(*write), (*_subjects(*read), "$MQTT.sub.>"))


def _user(name: str, password: str, publish: tuple[str, ...], subscribe: tuple[str, ...]) -> str:
    """An empty list of what is allowed would allow everything, so whoever may publish nothing is denied everything."""
    allowed = f"allow: [{_quoted(publish)}]" if publish else 'deny: [">"]'
    return (
        f'    {{ user: "{name}", password: "{password}", allowed_connection_types: ["MQTT"], permissions: {{\n'
        f"        publish: {{ {allowed} }}\n"
        f"        subscribe: {{ allow: [{_quoted(subscribe)}] }} }} }}"
    )


def _quoted(subjects: tuple[str, ...]) -> str:
    return ", ".join(f'"{subject}"' for subject in subjects)


def _subjects(*filters: str) -> tuple[str, ...]:
    """MQTT filters as NATS subjects; `a/#` is also `a`."""
    found: list[str] = []
    for topic in filters:
        subject = topic.replace("/", ".").replace("+", "*")
        if subject.endswith(".#"):
            found.append(subject[:-2])
            subject = f"{subject[:-2]}.>"
        found.append(subject)
    return tuple(found)
