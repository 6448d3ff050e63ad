"""What a terminal makes of the server's frames."""

import json
from pathlib import Path

import pytest

from terminal.events import Channel, Ended, Face, Punch, Result, Rubbish, news, read_object

GOLDEN = json.loads((Path(__file__).parents[1] / "device_hub" / "golden_frames.json").read_text("utf-8"))


def test_the_hubs_golden_frames_are_understood() -> None:
    frames = {name: read_object(text) for name, text in GOLDEN["to_terminal"].items()}
    assert news(Channel.HUB, frames["welcome"]) is None
    assert news(Channel.HUB, frames["pong"]) is None
    for last in ("bye", "error"):
        with pytest.raises(Ended):
            news(Channel.HUB, frames[last])


@pytest.mark.parametrize("text", ["", "x", "[]", "1", "null", "{}", '{"type":1}', b"\xff\xd8", "[" * 100_000])
def test_rubbish_is_said_to_be_rubbish(text: str | bytes) -> None:
    with pytest.raises(Rubbish):
        read_object(text)


def test_a_result() -> None:
    message = read_object(
        '{"type":"result","faces":[{"box":[1,2,3,4],"verdict":"identified","problems":[],"name":"张三","class":"一班",'
        '"num":"01","gender":"男","score":93.1,"event":"e"},{"box":[1,2,3,4],"verdict":"unusable",'
        '"problems":[{"code":1,"zh":"太暗","en":"too dark"}]}],"problem":null,"age_ms":120,"took_ms":9.5}'
    )
    faces = (Face("identified", "张三", "01", 93.1), Face("unusable", problem="太暗", problem_en="too dark"))
    assert news(Channel.STREAM, message) == Result(Channel.STREAM, faces, "", 120.0)


def test_a_result_of_a_frame_that_says_nothing() -> None:
    message = {"type": "result", "faces": [], "problem": {"code": 1, "zh": "没有人脸", "en": "no face"}}
    assert news(Channel.HUB, message) == Result(Channel.HUB, (), "没有人脸", 0.0)


@pytest.mark.parametrize(
    "fields",
    [
        {"faces": 1},
        {"faces": [1]},
        {"faces": "ab"},
        {"age_ms": "late"},
        {"faces": [{"score": "high"}]},
        {"problem": 7},
        {"faces": [{"problems": [3]}]},
    ],
)
def test_a_result_with_wrong_fields_is_rubbish(fields: dict[str, object]) -> None:
    with pytest.raises(Rubbish):
        news(Channel.STREAM, {"type": "result", **fields})


def test_a_punch() -> None:
    message = {"type": "punch", "state": "recorded", "event": "e", "name": "张三", "num": "01", "at": "08:00", "x": 1}
    assert news(Channel.HUB, message) == Punch(Channel.HUB, "recorded", "e", "张三", "01", "08:00")


def test_unknown_kinds_are_passed_over() -> None:
    assert news(Channel.HUB, {"type": "weather"}) is None


@pytest.mark.parametrize(("reason", "by_person"), [("revoked", True), ("replaced", True), ("stopping", False)])
def test_some_ends_only_a_person_can_undo(reason: str, by_person: bool) -> None:
    with pytest.raises(Ended) as caught:
        news(Channel.HUB, {"type": "bye", "reason": reason})
    assert caught.value.by_person is by_person
