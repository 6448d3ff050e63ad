"""What third parties cannot do, with a real client against the real listener."""

import pytest
from aiomqtt import MqttError

from mqtt_bridge.topics import BRIDGE
from shared.contracts.devices import ListDevices
from tests.conftest import PASSWORDS
from tests.integration.mqtt_bridge.conftest import Site

REFUSED = 128

READABLE = (
    "rollcall/v1/status",
    "rollcall/v1/punch",
    "rollcall/v1/device/+/punch",
    "rollcall/v1/device/7/state",
    "rollcall/v1/device/+/door/result/reader",
)
UNREADABLE = (
    "#",
    "rollcall/#",
    "rollcall/v1/#",
    "rollcall/v1/>",
    "*/v1/punch",
    "rollcall/v1/device/+/door/set/+",
    "rollcall/v1/device/+/door/result/commander",
    "rollcall/v1/device/+/door/result/*",
    "homeassistant/#",
    "$JS/API/#",
    "$JS/#",
    "$MQTT/#",
    "$MQTT/sub/#",
    "$SYS/#",
    "$KV/#",
    "_INBOX/#",
    "_INBOX_registry/#",
    "cmd/#",
    "evt/#",
    "frame/#",
    "turn/#",
    "hub/#",
)
FORBIDDEN = (
    "rollcall/v1/punch",
    "rollcall/v1/status",
    "rollcall/v1/device/7/state",
    "rollcall/v1/device/7/door/result/reader",
    "rollcall/v1/device/7/door/set/commander",
    "rollcall/v1/device/*/door/set/*",
    "rollcall/v1/>",
    "homeassistant/button/rollcall_7/door/config",
)


@pytest.mark.parametrize("qos", [0, 1])
async def test_a_client_hears_its_own_topics_and_nothing_else(site: Site, qos: int) -> None:
    async with site.mqtt("reader") as reader:
        assert await reader.hears(*READABLE, qos=qos) == [qos] * len(READABLE)
        assert await reader.hears(*UNREADABLE, qos=qos) == [REFUSED] * len(UNREADABLE)


async def test_home_assistant_may_hear_what_is_announced_to_it(site: Site) -> None:
    async with site.mqtt("home") as home:
        assert await home.hears("homeassistant/#", "homeassistant/+/+/config") == [1, 1]


@pytest.mark.parametrize("name", ["reader", "commander"])
async def test_what_a_client_may_not_say_is_heard_by_nobody(site: Site, name: str) -> None:
    """The broker acknowledges such a message and drops it, as MQTT 3.1.1 has no answer that says no."""
    forbidden = [topic for topic in FORBIDDEN if name == "reader" or not topic.endswith("set/commander")]
    async with site.mqtt(BRIDGE, PASSWORDS["mqtt"]) as everything, site.mqtt(name) as client:
        await everything.hears("rollcall/v1/#", "homeassistant/#")
        for topic in forbidden:
            await client.client.publish(topic, b"forbidden", qos=1, retain=True)
        await everything.client.publish("rollcall/v1/bridge/echo", b"all that came before has come")
        assert str((await everything.next()).topic) == "rollcall/v1/bridge/echo"


async def test_no_client_reaches_what_the_services_say_to_each_other(site: Site) -> None:
    """Not even the bridge's own MQTT user: they live in an account of their own."""
    asked: list[ListDevices] = []

    async def count(event: ListDevices, _: str) -> None:
        asked.append(event)

    await site.registry.follow(ListDevices.subject, ListDevices, count)
    async with site.mqtt("commander") as client, site.mqtt(BRIDGE, PASSWORDS["mqtt"]) as bridge:
        for speaker in (client, bridge):
            await speaker.client.publish("cmd/registry/list_devices", ListDevices().encode(), qos=1)
            await speaker.client.publish("$JS/API/STREAM/DELETE/EVT", b"", qos=1)
    await site.registry.written()
    assert asked == []
    assert (await site.registry.js.stream_info("EVT")).config.name == "EVT"


@pytest.mark.parametrize(
    ("name", "password"),
    [("reader", "wrong"), ("nobody", "password of reader"), ("gateway", PASSWORDS["gateway"]), (BRIDGE, "wrong")],
)
async def test_who_does_not_prove_who_he_is_stays_outside(site: Site, name: str, password: str) -> None:
    with pytest.raises(MqttError, match="Not authorized"):
        async with site.mqtt(name, password):
            pytest.fail("let in")


async def test_a_message_over_4_kib_ends_the_connection(site: Site) -> None:
    async with site.mqtt("commander", timeout=2) as client:
        with pytest.raises(MqttError):
            await client.client.publish("rollcall/v1/device/7/door/set/commander", b"x" * 5_000, qos=1)
