"""What the screen shows: "clocked in" only of a punch that the ledger has."""

from datetime import UTC, datetime

import pytest

from terminal.display import BLIND, CLOSER, IDLE, LOOKING, OFFLINE, PICTURED, Console, Kind, Scene, Scenes
from terminal.events import (
    Answer,
    Blind,
    CardAnswer,
    CardRead,
    Channel,
    Command,
    Event,
    Face,
    Obeyed,
    Offline,
    Online,
    Presence,
    Punch,
    Recognising,
    Result,
    Seen,
    Trouble,
)

ADA = Face("identified", "艾达", "01", 93.0)
RECORDED = Punch(Channel.STREAM, "recorded", "e1", "艾达", "01", "2026-01-02T08:00:00+08:00")
KEPT = Punch(Channel.HERE, "kept", "here-1", "艾达", "01", "2026-01-02T08:00:00+08:00")
NEAR, NOBODY = Seen(Presence.NEAR), Seen(Presence.NOBODY)


def result(*faces: Face) -> Result:
    return Result(Channel.STREAM, faces)


def shown(*heard: tuple[float, Event], at: float) -> Scene:
    scenes = Scenes()
    for moment, event in heard:
        scenes.hear(event, moment)
    return scenes.at(at)


@pytest.mark.parametrize(
    ("event", "scene"),
    [
        (NOBODY, IDLE),
        (NEAR, LOOKING),
        (Seen(Presence.FAR), CLOSER),
        (Offline(Channel.STREAM, "x", 1), OFFLINE),
        (Offline(Channel.HUB, "x", 1), IDLE),
        (Blind("unplugged"), BLIND),
        (Blind(""), IDLE),
        (result(), IDLE),
        (result(Face("pending")), IDLE),
    ],
)
def test_what_stands_until_something_happens(event: Event, scene: Scene) -> None:
    assert shown((0, event), at=0) == scene
    assert shown((0, event), at=1e6) == scene


def test_a_known_face_is_not_clocked_in_before_its_punch() -> None:
    scene = shown((0, NEAR), (1, result(ADA)), at=1)
    assert (scene.kind, scene.name, scene.zh) == (Kind.CHECKING, "艾达", "正在记录")
    assert shown((0, NEAR), (1, result(ADA)), at=60) == LOOKING


def test_a_punch_is_shown_and_the_face_that_stays_is_not_told_again() -> None:
    heard = ((0, NEAR), (1, result(ADA)), (1.2, RECORDED), (1.5, result(ADA)))
    scene = shown(*heard, at=2)
    assert (scene.kind, scene.name, scene.num, scene.zh) == (Kind.RECORDED, "艾达", "01", "打卡成功")
    later = shown(*heard, (10, result(ADA)), at=10)
    assert (later.kind, later.zh) == (Kind.RECORDED, "已打卡")
    assert shown(*heard, (100, result(ADA)), at=100).kind is Kind.CHECKING


def test_the_next_person_takes_the_screen_when_recorded() -> None:
    other = Punch(Channel.STREAM, "repeated", "e2", "张三", "02", "")
    heard = ((0, RECORDED), (1, result(Face("identified", "张三", "02"))))
    assert shown(*heard, at=1).name == "艾达"
    scene = shown(*heard, (2, other), at=2)
    assert (scene.name, scene.zh) == ("张三", "已打过卡")


@pytest.mark.parametrize(
    ("face", "kind", "zh", "en"),
    [
        (Face("unknown"), Kind.UNKNOWN, "未识别", "Not recognised"),
        (Face("unusable", problem="太暗", problem_en="too dark"), Kind.UNUSABLE, "太暗", "too dark"),
        (Face("pending", problem="请转头", problem_en="turn"), Kind.UNUSABLE, "请转头", "turn"),
    ],
)
def test_a_face_that_nobody_knows(face: Face, kind: Kind, zh: str, en: str) -> None:
    scene = shown((0, result(face)), at=1)
    assert (scene.kind, scene.zh, scene.en, scene.name) == (kind, zh, en, "")
    assert shown((0, result(face)), at=3) == IDLE


def test_a_known_face_beside_a_strangers_is_shown() -> None:
    assert shown((0, result(Face("unknown"), ADA)), at=1).name == "艾达"


def test_the_greeting_stands_beside_the_name() -> None:
    scenes = Scenes()
    scenes.greeting = "早上好"
    scenes.hear(RECORDED, 0)
    assert scenes.at(1).more_zh == "早上好"


def test_words_of_the_office_for_their_time_unless_something_happens() -> None:
    scenes = Scenes()
    scenes.say("", "Closed today", 100)
    scenes.hear(result(Face("unknown")), 1)
    assert (scenes.at(1).zh, scenes.at(1).en) == ("Closed today", "")
    scenes.hear(RECORDED, 2)
    assert scenes.at(2).kind is Kind.RECORDED
    scenes.say("今天休息", "Closed today", 100)
    assert scenes.at(99).zh == "今天休息"
    assert scenes.at(100) == IDLE


def test_whoever_is_there_is_told_of_a_picture() -> None:
    scenes = Scenes()
    scenes.pictured(0)
    assert scenes.at(1) == PICTURED


def test_what_only_this_terminal_has_is_never_called_clocked_in() -> None:
    seen = Result(Channel.HERE, (Face("identified", "张三", "02", 91),))
    again = Punch(Channel.HERE, "repeated", "here-2", "张三", "02", "2026-01-02T08:00:00+08:00")
    for scene in (shown((0, again), at=1), shown((0, again), (6, seen), at=6.1)):
        assert (scene.zh, scene.en) == ("已在本机保存", "Kept here")


def test_cards() -> None:
    assert shown((0, CardRead("7")), at=1).kind is Kind.CHECKING
    done = shown((0, CardRead("7")), (1, CardAnswer("7", "recorded")), at=2)
    assert (done.kind, done.num) == (Kind.RECORDED, "7")
    again = shown((0, CardRead("7")), (1, CardAnswer("7", "repeated")), at=2)
    assert (again.kind, again.en) == (Kind.RECORDED, "Already clocked in")
    kept = shown((0, CardRead("7")), (1, CardAnswer("7", "kept")), at=2)
    assert (kept.kind, kept.zh, kept.en) == (Kind.RECORDED, "已在本机保存，稍后上传", "Kept here, will be sent")
    refused = shown((0, CardRead("7")), (1, CardAnswer("7", "", "没有登记", "nobody's")), at=2)
    assert (refused.kind, refused.zh, refused.en) == (Kind.REFUSED, "没有登记", "nobody's")


def test_the_console_has_a_line_for_each_change() -> None:
    lines: list[str] = []
    console = Console(lines.append, lambda: datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
    for scene in (IDLE, LOOKING, LOOKING, Scene(Kind.RECORDED, "打卡成功", "Clocked in", name="艾达", num="01")):
        console.show(scene)
    order = Command("1", "open_door", {}, datetime.now(UTC))
    for event in (
        Online(Channel.HUB),
        Offline(Channel.HUB, "gone", 2.5),
        NEAR,
        result(ADA),
        Obeyed(order, Answer(ok=True, detail="open for 3 s")),
        Obeyed(order, Answer(ok=False, error="failed", detail="stuck")),
        Trouble("relay", "it does not answer"),
        Trouble("relay", ""),
        Blind("unplugged"),
    ):
        console.log(event)
    assert [line.removeprefix("03:04:05 ") for line in lines] == [
        "looking · 识别中 · Looking",
        "recorded · 艾达 (01) · 打卡成功 · Clocked in",
        "online: hub",
        "offline: hub: gone; again in 2.5 s",
        "order open_door: open for 3 s",
        "order open_door: not done: failed stuck",
        "relay: it does not answer",
        "relay: works again",
        "camera: unplugged",
    ]


def test_what_only_this_terminal_has_is_not_said_to_be_recorded() -> None:
    kept = shown((0, KEPT), at=1)
    assert (kept.kind, kept.zh, kept.en) == (Kind.RECORDED, "已在本机保存，稍后上传", "Kept here, will be sent")
    later = shown((0, KEPT), (10, result(ADA)), at=10.5)
    assert (later.kind, later.en) == (Kind.RECORDED, "Kept here")
    sent = shown((0, KEPT), (10, RECORDED), (20, result(ADA)), at=20.5)
    assert sent.en == "Clocked in"


def test_who_recognises_by_itself_is_not_offline() -> None:
    gone = Offline(Channel.STREAM, "gone", 1.0)
    assert shown((0, gone), at=1) == OFFLINE
    assert shown((0, gone), (1, Recognising(here=True)), at=2) == IDLE
