"""The secrets of an installation that containers run, one a file, and the broker's configuration with its users."""

import secrets
from pathlib import Path

from rollcall.broker import Cluster, configuration
from rollcall.keys import DataFolderError, open_folder, write_private
from shared.bus.topology import NEEDS

OWN = (
    "library_key",
    "web_secret",
    "token_secret",
    "mysql_root_password",
    "mysql_password",
    "nats_route",
    "grafana_password",
)
DATABASE = "mysql://rollcall:{password}@mysql:3306/rollcall"
NODES = ("nats-1:6222", "nats-2:6222", "nats-3:6222")
"""as compose.ha.yaml names them"""


def write_secrets(folder: Path) -> None:
    """Make what is missing; the broker's files, which follow from the rest, are written anew. Raises DataFolderError.

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
    except OSError as error:
        raise DataFolderError(f"The secrets cannot be kept in {folder}: {error.strerror or error}.") from None


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
