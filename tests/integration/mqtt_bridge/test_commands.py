"""Commands of third parties: handed over, refused in words, bounded, never kept for later."""

import json
from typing import Any

from mqtt_bridge.commands import BURST
from shared.contracts.terminals import OpenDoor, ShowMessage
from tests.integration.mqtt_bridge.conftest import Ear, Site

DOOR = "rollcall/v1/device/7/door/set/commander"


async def tell(commander: Ear, topic: str, payload: bytes) -> dict[str, Any]:
    await commander.client.publish(topic, payload, qos=1)
    return await commander.json()


async def test_a_door_is_opened_and_a_message_shown_in_the_clients_name(site: Site) -> None:
    site.put(7)
    await site.connected(7)
    async with site.bridge(), site.ready(), site.mqtt("commander") as commander:
        await commander.hears(
            "rollcall/v1/device/+/door/result/commander", "rollcall/v1/device/+/message/result/commander"
        )
        opened = await tell(commander, DOOR, b'{"id":"1","seconds":3,"reason":"delivery"}')
        assert opened == {"id": "1", "ok": True, "error": "", "detail": "opened"}
        shown = await tell(commander, "rollcall/v1/device/7/message/set/commander", '{"zh":"放学了"}'.encode())
        assert shown["ok"]
    door, words = site.orders
    assert (door.device_id, door.by, door.order_id) == (7, "mqtt commander", "mqtt-commander-1")
    assert door.order == OpenDoor(seconds=3, reason="delivery")
    assert words.order == ShowMessage(zh="放学了")


async def test_a_terminal_that_is_not_there_is_said_to_be_offline_at_once(site: Site) -> None:
    site.put(7)
    async with site.bridge(), site.ready(), site.mqtt("commander") as commander:
        await commander.hears("rollcall/v1/device/+/door/result/commander")
        assert (await tell(commander, DOOR, b'{"id":"a"}'))["error"] == "offline"
        unknown = await tell(commander, DOOR.replace("7", "8"), b"{}")
        assert unknown == {"id": "", "ok": False, "error": "unknown", "detail": "there is no such terminal"}
    assert site.orders == []


async def test_a_malformed_command_is_answered_in_words(site: Site) -> None:
    site.put(7)
    async with site.bridge(), site.ready(), site.mqtt("commander") as commander:
        await commander.hears("rollcall/v1/device/+/door/result/commander")
        answer = await tell(commander, DOOR, b'{"seconds":61}')
        assert (answer["ok"], answer["error"]) == (False, "invalid")
        assert "seconds: Input should be less than or equal to 60" in answer["detail"]


async def test_who_commands_too_fast_is_told_so(site: Site) -> None:
    site.put(7)
    async with site.bridge(), site.ready(), site.mqtt("commander") as commander:
        await commander.hears("rollcall/v1/device/+/door/result/commander")
        for _ in range(40):
            await commander.client.publish(DOOR, b"{}")
        errors = [(await commander.json())["error"] for _ in range(40)]
        assert BURST <= errors.count("offline") < 40
        assert errors.count("offline") + errors.count("too_many") == 40


async def test_wildcards_in_a_topic_do_no_harm(site: Site) -> None:
    site.put(7)
    await site.connected(7)
    async with site.bridge(), site.ready(), site.mqtt("commander") as commander:
        await commander.hears("rollcall/v1/device/+/door/result/commander")
        for number in ("*", ">", "7.8", "07x", "99999999999"):
            await commander.client.publish(f"rollcall/v1/device/{number}/door/set/commander", b"{}", qos=1)
        assert (await tell(commander, DOOR, b'{"id":"real"}'))["id"] == "real"
    assert len(site.orders) == 1


async def test_a_retained_command_is_done_once_and_never_again(site: Site) -> None:
    """A client's mistake that would open the door at each start of the bridge."""
    site.put(7)
    await site.connected(7)
    async with site.mqtt("commander") as commander:
        await commander.hears("rollcall/v1/device/+/door/result/commander")
        await commander.client.publish(DOOR, b'{"id":"before"}', qos=1, retain=True)
        async with site.bridge(), site.ready():
            assert (await tell(commander, DOOR, b'{"id":"now"}'))["id"] == "now"
        async with site.bridge(), site.ready():
            assert (await tell(commander, DOOR, json.dumps({"id": "later"}).encode()))["id"] == "later"
    assert [order.order_id for order in site.orders] == ["mqtt-commander-now", "mqtt-commander-later"]
