"""What third parties hear: punches at least once, states and announcements as they are."""

import json
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from aiomqtt import TLSParameters
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from rollcall.local import free_port
from rollcall.mqtt import MqttOptions
from shared.contracts.base import now
from shared.contracts.devices import DeviceChange, DeviceState
from shared.testing import eventually
from tests.integration.mqtt_bridge.conftest import Site, a_site

PUNCH = "rollcall/v1/punch"
STATE = "rollcall/v1/device/7/state"
BUTTON = "homeassistant/button/rollcall_7/door/config"


@pytest.mark.parametrize("names", [True, False])
async def test_a_punch_is_told_to_all_and_at_its_terminal(site: Site, names: bool) -> None:
    async with site.bridge(mqtt_names=names), site.ready() as reader:
        await reader.hears(PUNCH, "rollcall/v1/device/+/punch")
        event = await site.punch()
        told = {str(message.topic): message for message in [await reader.next(), await reader.next()]}
        assert set(told) == {PUNCH, "rollcall/v1/device/7/punch"}
        assert {message.qos for message in told.values()} == {1}
        assert {message.retain for message in told.values()} == {False}
        said = {
            "event": event.event_id,
            "punch": 1,
            "num": "S-1",
            "name": "李雷",
            "class": "三年二班",
            "place": "东门",
            "device": 7,
            "time": event.captured_at.isoformat(),
        }
        if not names:
            del said["name"]
        assert [json.loads(bytes(message.payload)) for message in told.values()] == [said, said]  # type: ignore[arg-type]


async def test_a_punch_at_a_browser_has_no_terminal(site: Site) -> None:
    async with site.bridge(), site.ready() as reader:
        await reader.hears(PUNCH)
        await site.punch(source="web-1")
        assert (await reader.json())["device"] is None


async def test_no_punch_is_lost_while_reader_bridge_or_broker_are_away(site: Site) -> None:
    """For a reader with QoS 1 and a session that is kept. It tells repetitions by the event."""
    kept = {"clean_session": False}
    async with site.mqtt("reader", **kept) as reader:
        await reader.hears(PUNCH)

    async def is_back() -> bool:
        return site.registry.is_connected

    async with site.bridge():
        async with site.mqtt("commander") as other:
            await other.hears(PUNCH)
            punched = [(await site.punch()).event_id for _ in range(10)]
            await other.next()
        await site.broker.kill()
        await site.broker.start()
        await eventually(is_back)
        punched += [(await site.punch()).event_id for _ in range(10)]
    punched += [(await site.punch()).event_id for _ in range(10)]
    async with site.bridge(), site.mqtt("reader", **kept) as reader:
        heard: dict[str, int] = {}
        while len(heard) < len(punched):
            heard[(await reader.json())["event"]] = 1
        assert set(heard) == set(punched)


async def test_a_terminal_comes_goes_is_renamed_and_removed(site: Site) -> None:
    site.put(7)
    site.put(8, state=DeviceState.PENDING)
    async with site.bridge(mqtt_home_assistant="home", mqtt_home_assistant_commands=True), site.mqtt("home") as home:
        await home.hears("rollcall/v1/device/+/state", "homeassistant/#")
        await home.until(STATE, lambda body: b'"offline"' in body)
        await home.until(BUTTON, lambda body: b"rollcall/v1/device/7/door/set/home" in body)
        await site.connected(7)
        online = json.loads(await home.until(STATE, lambda body: b'"online"' in body))
        assert (online["device"], online["name"], online["place"]) == (7, "门7", "门7")
        site.put(7, name="西门", place="操场")
        await site.announce(7, DeviceChange.EDITED)
        await home.until(STATE, lambda body: "操场".encode() in body)
        await home.until(BUTTON, lambda body: "西门".encode() in body)
        await site.gone(7)
        await home.until(STATE, lambda body: b'"offline"' in body)
        del site.devices[7]
        await site.announce(7, DeviceChange.REMOVED)
        await home.until(STATE, lambda body: body == b"")
        await home.until(BUTTON, lambda body: body == b"")


async def test_a_dead_hubs_terminals_are_offline(site: Site) -> None:
    """Nobody renews the lease of hub-b; the entry in the bucket stays."""
    site.put(7)
    await site.alive("hub-b")
    await site.connected(7, "hub-b")
    async with site.bridge(), site.ready() as reader:
        await reader.hears("rollcall/v1/device/+/state")
        await reader.until(STATE, lambda body: b'"online"' in body)
        await reader.until(STATE, lambda body: b'"offline"' in body)


async def test_who_was_removed_while_the_bridge_was_away_is_cleared_and_the_rest_left_alone(site: Site) -> None:
    home_assistant = {"mqtt_home_assistant": "home", "mqtt_home_assistant_commands": True}
    site.put(7)
    site.put(9)
    async with site.mqtt("home") as home:
        await home.hears("rollcall/v1/device/+/state", "homeassistant/#")
        async with site.bridge(**home_assistant), site.ready():
            for number in (7, 9):
                await home.until(f"homeassistant/button/rollcall_{number}/door/config", bool)
        del site.devices[7]
        async with site.bridge(**home_assistant), site.ready():
            await home.until(BUTTON, lambda body: body == b"")
    async with site.mqtt("home") as anew:
        await anew.hears("homeassistant/#", "rollcall/v1/device/+/state", "rollcall/v1/status")
        there = set()
        while "rollcall/v1/status" not in there:
            there.add(str((await anew.next()).topic))
    assert not [topic for topic in there if "7" in topic]
    assert "homeassistant/button/rollcall_9/door/config" in there


async def test_home_assistant_that_may_only_read_gets_no_button(site: Site) -> None:
    site.put(7)
    async with site.bridge(mqtt_home_assistant="home"), site.mqtt("home") as home:
        await home.hears("homeassistant/#")
        announced = {str((await home.next()).topic) for _ in range(2)}
    assert announced == {
        "homeassistant/binary_sensor/rollcall_7/connection/config",
        "homeassistant/sensor/rollcall_7/punch/config",
    }


async def test_the_bridge_says_when_it_goes(site: Site) -> None:
    async with site.mqtt("reader") as reader:
        await reader.hears("rollcall/v1/status")
        async with site.bridge():
            await reader.until("rollcall/v1/status", lambda body: b"online" in body)
        await reader.until("rollcall/v1/status", lambda body: b"offline" in body)


async def test_tls(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path)
    options = MqttOptions(port=free_port(), cert=cert, key=key)
    trust = TLSParameters(ca_certs=str(cert))
    async with (
        a_site(tmp_path / "nats", options) as site,
        site.bridge(),
        site.mqtt("reader", tls_params=trust) as reader,
    ):
        await reader.hears("rollcall/v1/status")
        await reader.until("rollcall/v1/status", lambda body: b"online" in body)


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that signs itself, and its key, as PEM files."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "rollcall test")])
    address = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now() - timedelta(days=1))
        .not_valid_after(now() + timedelta(days=1))
        .add_extension(address, critical=False)
        .sign(key, hashes.SHA256())
    )
    cert_file, key_file = folder / "cert.pem", folder / "key.pem"
    cert_file.write_bytes(made.public_bytes(Encoding.PEM))
    key_file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return cert_file, key_file
