"""The secrets of an installation that containers run, one a file, and the broker's configuration with its users."""

import secrets
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from rollcall.broker import Cluster, configuration, third_parties_configuration
from rollcall.keys import DataFolderError, open_folder, write_private
from rollcall.mqtt import May, MqttOptions, read_clients
from shared.bus.topology import NEEDS
from shared.errors import NotFound

OWN = (
    "library_key",
    "web_secret",
    "token_secret",
    "mysql_root_password",
    "mysql_password",
    "nats_route",
    "grafana_password",
    "mqtt_password",
)
DATABASE = "mysql://rollcall:{password}@mysql:3306/rollcall"
NODES = ("nats-1:6222", "nats-2:6222", "nats-3:6222")
"""as compose.ha.yaml names them"""
MQTT_CERT, MQTT_KEY = "mqtt_cert", "mqtt_key"
MQTT_PORT = 8883
"""where third parties' server listens in its container, always with TLS"""
CERTIFICATE_DAYS = 3_650


def write_secrets(folder: Path, home_assistant: str | None = None) -> None:
    """Make what is missing; the brokers' files, which follow from the rest, are written anew. Raises DataFolderError.

    `home_assistant`: from now on the MQTT client that is one, empty for none; None: as before. Raises NotFound.

    Only its owner gets into the folder. The files themselves anybody may read: a container sees just those that are
    mounted into it, as users whose numbers its image chose.
    """
    folder = open_folder(folder)
    try:
        folder.chmod(0o700)
        made = {name: _secret(folder / name) for name in (*OWN, *(f"nats_{user}" for user in NEEDS))}
        _write(folder / "database", DATABASE.format(password=made["mysql_password"]))
        _write(folder / "nats.conf", _broker(made, None))
        _write(folder / "nats-cluster.conf", _broker(made, Cluster("0.0.0.0:6222", NODES, made["nats_route"])))
        _certify(folder)
        _write_third_parties(folder, made["mqtt_password"], home_assistant)
    except OSError as error:
        raise DataFolderError(f"The secrets cannot be kept in {folder}: {error.strerror or error}.") from None


def admit(folder: Path) -> None:
    """Write down whom `rollcall mqtt` lets in; their server reads it when it is restarted. Raises DataFolderError."""
    write_secrets(check_made(folder))


def check_made(folder: Path) -> Path:
    """The folder, if it has an installation's secrets. Raises DataFolderError."""
    if not (folder / "mqtt.conf").exists():
        raise DataFolderError(f"{folder} has no secrets of this version; first: rollcall secrets {folder}")
    return folder


def _secret(path: Path) -> str:
    if not path.exists():
        _write(path, secrets.token_hex(32))
    return path.read_text().strip()


def _write(path: Path, text: str) -> None:
    write_private(path, text)
    path.chmod(0o444)


def _broker(made: dict[str, str], cluster: Cluster | None) -> str:
    return configuration(
        host="0.0.0.0",  # noqa: S104 - inside its container
        port=4222,
        monitor_port=8222,
        store=Path("/data/jetstream"),
        passwords={user: made[f"nats_{user}"] for user in NEEDS},
        name="$NATS_NAME",
        cluster=cluster,
    )


# ---- third parties, by MQTT


def _write_third_parties(folder: Path, password: str, home_assistant: str | None) -> None:
    """Their server's configuration, and what the bridge has to know of them. Raises DataFolderError, NotFound."""
    clients, chosen = read_clients(folder), folder / "mqtt_home_assistant"
    may = {client.name: client.may for client in clients}
    if home_assistant and home_assistant not in may:
        raise NotFound(f"没有名为 {home_assistant} 的 MQTT 客户端", f"there is no MQTT client named {home_assistant}")
    if home_assistant is None:
        before = chosen.read_text().strip() if chosen.exists() else ""
        home_assistant = before if before in may else ""
    mounted = Path("/run/secrets")
    options = MqttOptions(
        host="0.0.0.0",  # noqa: S104 - inside its container
        port=MQTT_PORT,
        cert=mounted / MQTT_CERT,
        key=mounted / MQTT_KEY,
        home_assistant=home_assistant,
    )
    text = third_parties_configuration(
        store=Path("/data/jetstream"),
        monitor_port=8222,
        options=options,
        clients=clients,
        bridge_password=password,
    )
    _write(folder / "mqtt.conf", text)
    _write(chosen, home_assistant)
    _write(folder / "mqtt_home_assistant_commands", str(may.get(home_assistant) is May.COMMAND).lower())


def _certify(folder: Path) -> None:
    """A certificate for this machine alone that signs itself, unless there is one. Raises DataFolderError."""
    cert_file, key_file = folder / MQTT_CERT, folder / MQTT_KEY
    if cert_file.exists() is not key_file.exists():
        raise DataFolderError(f"{cert_file} and {key_file} belong together, and one is missing.")
    if cert_file.exists():
        return
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "rollcall mqtt")])
    here = (x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1")), x509.IPAddress(ip_address("::1")))
    began, itself = datetime.now(UTC), x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(began)
        .not_valid_after(began + timedelta(days=CERTIFICATE_DAYS))
        .add_extension(x509.SubjectAlternativeName(here), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(itself, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(itself), critical=False)
        .sign(key, SHA256())
    )
    _write(key_file, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode())
    _write(cert_file, certificate.public_bytes(Encoding.PEM).decode())
