"""The guides for third parties: the same examples in both, and what is printed there is what is sent."""

import json
import re
from pathlib import Path

import pytest

from mqtt_bridge import topics
from mqtt_bridge.payloads import order, punch, result, state
from shared.contracts.attendance import AttendanceRecorded
from shared.contracts.base import now
from shared.contracts.devices import Device, DeviceState
from shared.contracts.hubs import Presence
from shared.contracts.people import Gender, Person
from shared.contracts.terminals import OrderOutcome

DOCS = Path(__file__).parents[3] / "docs"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
GUIDE, GUIDE_ZH = ((DOCS / name).read_text("utf-8") for name in ("mqtt.md", "mqtt.zh.md"))
PERSON = Person(student_id=1, num="20260001", name="李雷", class_name="三年二班", gender=Gender.MAN)
DEVICE = Device(device_id=7, name="东门", sn="E-1", state=DeviceState.AUTHORISED, created_at=now())


def test_both_guides_show_the_same_examples() -> None:
    assert BLOCK.findall(GUIDE) == BLOCK.findall(GUIDE_ZH)


def test_the_objects_in_the_guide_are_those_that_are_sent() -> None:
    event = AttendanceRecorded(
        identified_event="e", punch_id=17, person=PERSON, place="东门", source="device-7", captured_at=now()
    )
    presence = Presence(hub="h", session="s", since=now())
    outcome = result("a1", OrderOutcome(ok=False, error="offline", detail="the terminal is offline"))
    sent = [punch(event, names=True), state(DEVICE, presence), outcome]
    shown = [json.loads(text) for kind, text in BLOCK.findall(GUIDE) if kind == "json"]
    assert [list(one) for one in shown] == [list(json.loads(one)) for one in sent]


@pytest.mark.parametrize("what", ["door", "message"])
def test_the_commands_in_the_guide_are_understood(what: str) -> None:
    (payload,) = re.findall(rf"`…/{what}/set/NAME` \| `(.*?)`", GUIDE)
    assert order(topics.Asked(7, what, "home"), payload.encode())[0] == "a1"
