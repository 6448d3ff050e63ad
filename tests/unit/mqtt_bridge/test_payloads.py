"""Commands read and refused, topics taken apart, and what Home Assistant is told."""

import json
from typing import Any

import pytest

from mqtt_bridge import topics
from mqtt_bridge.discovery import config_topics, entities
from mqtt_bridge.payloads import Wrong, device_of, order, state
from shared.contracts.base import now
from shared.contracts.devices import Device, DeviceState
from shared.contracts.terminals import OpenDoor, ShowMessage

DOOR = topics.Asked(7, "door", "home")
WORDS = topics.Asked(7, "message", "home")
DEVICE = Device(device_id=7, name="东门", sn="E-1", state=DeviceState.AUTHORISED, place="操场", created_at=now())


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        (b"open", "JSON: Invalid JSON"),
        (b"", "JSON: Invalid JSON"),
        (b"[]", "JSON: "),
        (b'{"seconds":61}', "seconds: Input should be less than or equal to 60"),
        (b'{"seconds":NaN}', "seconds: "),
        (b'{"seconds":"3"}', "seconds: Input should be a valid number"),
        (b'{"second":3}', "second: Extra inputs are not permitted"),
        (b'{"id":"a.>"}', "id: String should match pattern"),
        (b'{"id":"%s"}' % (b"x" * 25), "id: String should match pattern"),
        (b'{"reason":"%s"}' % (b"x" * 129), "reason: String should have at most 128 characters"),
        (b'{"reason":"%s"}' % (b"x" * 2_000), "a command has at most 1024 bytes"),
        (b"\xff\xfe", "JSON: Invalid JSON"),
        (b"[" * 1_000, "JSON: "),
    ],
)
def test_a_malformed_command_is_refused_in_words(payload: bytes, words: str) -> None:
    with pytest.raises(Wrong) as caught:
        order(DOOR, payload)
    assert words in str(caught.value)
    assert len(str(caught.value)) <= 256


def test_the_same_id_is_the_same_order_and_none_is_a_new_one() -> None:
    said, first = order(DOOR, b'{"id":"abc","seconds":3}')
    assert said == "abc"
    assert first == order(DOOR, b'{"id":"abc","seconds":3}')[1]
    assert (first.order, first.by) == (OpenDoor(seconds=3), "mqtt home")
    assert order(DOOR, b"{}")[1].order_id != order(DOOR, b"{}")[1].order_id


def test_the_longest_names_make_an_order_id_that_hubs_take() -> None:
    asked = topics.Asked(7, "message", "c" * 24)
    said, wish = order(asked, b'{"id":"%s","en":"hello"}' % (b"i" * 24))
    assert said == "i" * 24
    assert wish.order == ShowMessage(en="hello")


@pytest.mark.parametrize(
    ("topic", "asked"),
    [
        ("rollcall/v1/device/7/door/set/home", DOOR),
        ("rollcall/v1/device/7/message/set/home", WORDS),
        ("rollcall/v1/device/*/door/set/home", None),
        ("rollcall/v1/device/٧/door/set/home", None),
        ("rollcall/v1/device/7/restart/set/home", None),
        ("rollcall/v1/device/7/door/set/home/x", None),
        ("rollcall/v1/device/7/door/set/home\n", None),
        ("rollcall/v1/device/7/door/set/", None),
    ],
)
def test_topics_of_commands(topic: str, asked: topics.Asked | None) -> None:
    assert topics.command(topic) == asked


@pytest.mark.parametrize(
    ("source", "device_id"), [("device-7", 7), ("web-7", None), ("device-", None), ("device-x", None), ("", None)]
)
def test_sources(source: str, device_id: int | None) -> None:
    assert device_of(source) == device_id


def test_home_assistant_finds_in_the_topics_what_its_entities_name() -> None:
    configs: list[dict[str, Any]] = [json.loads(config or b"") for config in entities(DEVICE, "home", commands=True)]
    connection, last_punch, button = configs
    assert config_topics(7, "ha")[2] == "ha/button/rollcall_7/door/config"
    assert connection["state_topic"] == topics.state(7)
    assert "state" in json.loads(state(DEVICE, None))
    assert last_punch["state_topic"] == last_punch["json_attributes_topic"] == topics.punch(7)
    assert topics.command(button["command_topic"]) == DOOR
    assert isinstance(order(DOOR, button["payload_press"].encode())[1].order, OpenDoor)
    assert len({config["unique_id"] for config in configs}) == 3
    assert all(config["device"]["identifiers"] == ["rollcall_7"] for config in configs)
    assert entities(DEVICE, "home", commands=False)[2] is None
