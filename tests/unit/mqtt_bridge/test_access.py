"""Who may connect, as the office says it while nothing runs; and what the broker is told."""

import json
from pathlib import Path

import bcrypt
import pytest
from click.testing import CliRunner

from rollcall.__main__ import main
from rollcall.installation import write_secrets
from rollcall.keys import DataFolderError, Keys
from rollcall.local import CannotStart, Options, free_port, local_system
from rollcall.mqtt import MOST_CLIENTS, USERS_FILE, May, MqttOptions, read_clients, write_clients, write_users
from rollcall.mqtt_clients import add_client, list_clients, remove_client
from shared.errors import Conflict, InvalidInput, NotFound


def test_a_client_is_let_in_listed_and_removed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    add_client(tmp_path, "campus-app", May.READ)
    password = capsys.readouterr().out.split()[-1]
    (client,) = read_clients(tmp_path)
    assert bcrypt.checkpw(password.encode(), client.password.encode())
    assert password not in (tmp_path / "mqtt-clients.json").read_text()
    assert (tmp_path / "mqtt-clients.json").stat().st_mode & 0o077 == 0
    list_clients(tmp_path)
    assert capsys.readouterr().out.split() == ["campus-app", "read", "1", "client(s)"]
    remove_client(tmp_path, "campus-app")
    assert read_clients(tmp_path) == ()


@pytest.mark.parametrize("name", ["", "Home", "a.b", "a b", "*", ">", 'x"', "校园", "a" * 25, "../a", "home\n"])
def test_a_name_that_could_be_more_than_a_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidInput):
        add_client(tmp_path, name, May.COMMAND)
    assert read_clients(tmp_path) == ()


def test_a_name_is_taken_once_the_bridges_never_and_there_is_an_end(tmp_path: Path) -> None:
    add_client(tmp_path, "home", May.READ)
    for name in ("home", "rollcall-bridge"):
        with pytest.raises(Conflict):
            add_client(tmp_path, name, May.COMMAND)
    with pytest.raises(NotFound):
        remove_client(tmp_path, "nobody")
    (home,) = read_clients(tmp_path)
    write_clients(tmp_path, tuple(home.model_copy(update={"name": f"c{n}"}) for n in range(MOST_CLIENTS)))
    with pytest.raises(Conflict):
        add_client(tmp_path, "one-more", May.READ)


def test_a_reader_is_denied_every_publish(tmp_path: Path) -> None:
    """An empty list of what is allowed would allow everything."""
    add_client(tmp_path, "reader", May.READ)
    write_users(tmp_path, MqttOptions(), read_clients(tmp_path), "secret")
    _, _, reader = (tmp_path / USERS_FILE).read_text().partition('user: "reader"')
    assert reader.splitlines()[1].strip() == 'publish: { deny: [">"] }'


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::", "mqtt.example"])
async def test_the_network_is_not_served_in_clear(tmp_path: Path, host: str) -> None:
    options = Options(tmp_path, port=free_port(), hub_port=free_port(), mqtt=MqttOptions(host=host, port=free_port()))
    with pytest.raises(CannotStart, match="--mqtt-cert"):
        async with local_system(options, lambda name, line: None, lambda step: None):
            pytest.fail("started")


def test_an_installation_of_containers_has_its_clients_beside_its_secrets(tmp_path: Path) -> None:
    with pytest.raises(DataFolderError, match="rollcall secrets"):
        add_client(tmp_path / "elsewhere", "home", May.COMMAND, containers=True)
    assert not (tmp_path / "elsewhere").exists()
    write_secrets(tmp_path)
    with pytest.raises(NotFound):
        write_secrets(tmp_path, home_assistant="home")
    add_client(tmp_path, "home", May.COMMAND, containers=True)
    write_secrets(tmp_path, home_assistant="home")
    assert told_of_home(tmp_path) == (True, "home", "true")
    write_secrets(tmp_path)  # an upgrade changes nothing of it
    assert told_of_home(tmp_path) == (True, "home", "true")
    remove_client(tmp_path, "home", containers=True)
    assert told_of_home(tmp_path) == (False, "", "false")


def test_the_commands_take_the_folder_of_the_secrets(tmp_path: Path) -> None:
    """As docs/mqtt.md types them, in a container."""
    here = ("--secrets", str(tmp_path))
    typed = (
        ("mqtt", "add", "home", *here),
        ("secrets", str(tmp_path)),
        ("mqtt", "add", "home", "--may", "command", *here),
        ("secrets", str(tmp_path), "--home-assistant", "home"),
        ("mqtt", "list", *here),
        ("mqtt", "remove", "home", *here),
        ("secrets", str(tmp_path), "--home-assistant", "home"),
    )
    done = [CliRunner().invoke(main, words) for words in typed]
    assert [result.exit_code for result in done] == [1, 0, 0, 0, 0, 0, 1]
    assert "first: rollcall secrets" in done[0].output
    assert "restart mqtt" in done[2].output
    assert "1 client(s)" in done[4].output
    assert "no MQTT client named home" in done[6].output


def told_of_home(folder: Path) -> tuple[bool, str, str]:
    """Whether the server lets it in; which client is announced to, and whether it is shown buttons."""
    who, may = (folder / f"mqtt_home_assistant{what}" for what in ("", "_commands"))
    return 'user: "home"' in (folder / "mqtt.conf").read_text(), who.read_text(), may.read_text()


def test_a_certificate_of_ones_own_stays_and_half_a_pair_is_refused(tmp_path: Path) -> None:
    for name in ("mqtt_cert", "mqtt_key"):
        (tmp_path / name).write_text("my own")
    write_secrets(tmp_path)
    assert {(tmp_path / name).read_text() for name in ("mqtt_cert", "mqtt_key")} == {"my own"}
    (tmp_path / "mqtt_key").unlink()
    with pytest.raises(DataFolderError, match="belong together"):
        write_secrets(tmp_path)


def test_an_older_data_folder_gets_the_bridges_password(tmp_path: Path) -> None:
    keys = Keys.of(tmp_path)
    older = keys.model_dump()
    del older["broker"]["mqtt"]
    (tmp_path / "keys.json").write_text(json.dumps(older))
    upgraded = Keys.of(tmp_path)
    assert upgraded.broker["mqtt"]
    assert upgraded == Keys.of(tmp_path)
    assert {**upgraded.model_dump(), "broker": older["broker"]} == older
