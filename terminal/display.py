"""What the screen shows: one scene at a time, made of what was heard. Pure; the console's lines too.

"Clocked in" is said only of a punch that the ledger has; of one that only this terminal has yet, that it is kept here.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from terminal.events import (
    Blind,
    CardAnswer,
    CardRead,
    Channel,
    Configured,
    Delivered,
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

RECENT_S: Final = 60.0
"""whoever was recorded within so long and is still there has clocked in, and is not told again that it is done"""
REMEMBERED: Final = 64
WORDS: Final = {
    "recorded": ("打卡成功", "Clocked in", "已打卡", "Clocked in"),
    "repeated": ("已打过卡", "Already clocked in", "已打卡", "Clocked in"),
    "kept": ("已在本机保存，稍后上传", "Kept here, will be sent", "已在本机保存", "Kept here"),
}
"""of a punch, by its state; then for whoever is still there"""


class Kind(StrEnum):
    """What a scene is about; the page has a colour and a sign for each."""

    IDLE = "idle"
    LOOKING = "looking"
    CLOSER = "closer"
    CHECKING = "checking"
    """a known face; its punch is not in the ledger yet"""
    RECORDED = "recorded"
    UNKNOWN = "unknown"
    UNUSABLE = "unusable"
    """the face cannot be judged: the words say what to change"""
    MESSAGE = "message"
    REFUSED = "refused"
    OFFLINE = "offline"
    BLIND = "blind"


@dataclass(frozen=True, slots=True)
class Scene:
    """One screen: large words and small ones, each in both languages."""

    kind: Kind
    zh: str
    en: str
    name: str = ""
    num: str = ""
    more_zh: str = ""
    more_en: str = ""


Show = Callable[[Scene], None]

IDLE: Final = Scene(Kind.IDLE, "请看镜头", "Look at the camera")
LOOKING: Final = Scene(Kind.LOOKING, "识别中", "Looking")
CLOSER: Final = Scene(Kind.CLOSER, "请靠近一点", "Please come closer")
OFFLINE: Final = Scene(Kind.OFFLINE, "暂时离线", "Offline", more_zh="正在重新连接", more_en="connecting again")
BLIND: Final = Scene(Kind.BLIND, "摄像头没有画面", "No picture from the camera")
PICTURED: Final = Scene(Kind.MESSAGE, "已向办公室发送一张照片", "A picture was sent to the office")


@dataclass(frozen=True, slots=True)
class _Notice:
    """A scene for a while. One that weighs less does not push it away."""

    scene: Scene
    weight: int
    until: float


_NOTHING: Final = _Notice(IDLE, 0, float("-inf"))


class Scenes:
    """Which scene to show. Times in seconds of one clock."""

    def __init__(self) -> None:
        self.greeting = ""
        """shown beside the name of whoever clocks in"""
        self._notice = _NOTHING
        self._presence, self._online, self._blind = Presence.NOBODY, True, ""
        self._clocked_in: OrderedDict[str, tuple[float, str, str]] = OrderedDict()

    @property
    def ends_at(self) -> float:
        """When the scene of now may be over."""
        return self._notice.until

    def at(self, at: float) -> Scene:
        """The scene."""
        if at < self._notice.until:
            return self._notice.scene
        if not self._online:
            return OFFLINE
        if self._blind:
            return BLIND
        return {Presence.NOBODY: IDLE, Presence.FAR: CLOSER, Presence.NEAR: LOOKING}[self._presence]

    def say(self, zh: str, en: str, until: float) -> None:
        """Words of the office; what happens at the door may interrupt them."""
        self._notice = _Notice(Scene(Kind.MESSAGE, zh or en, en if zh else ""), 2, until)

    def pictured(self, at: float) -> None:
        """Whoever stands there is told that a picture was taken."""
        self._put(PICTURED, 2, at, 4)

    def hear(self, event: Event, at: float) -> None:
        """Take note."""
        match event:
            case Online(channel=Channel.STREAM):
                self._online = True
            case Recognising(here=True):
                self._online = True  # nobody at the door misses the server
            case Offline(channel=Channel.STREAM):
                self._online = False
            case Blind(reason=reason):
                self._blind = reason
            case Seen(presence=presence):
                self._presence = presence
            case Punch():
                self._hear_punch(event, at)
            case Result():
                self._hear_result(event, at)
            case CardRead(number=number):
                self._put(Scene(Kind.CHECKING, "正在记录", "Recording", num=number), 2, at, 10)
            case CardAnswer(state="recorded" | "repeated" | "kept" as state, number=number):
                zh, en, *_ = WORDS[state]
                self._put(Scene(Kind.RECORDED, zh, en, num=number, more_zh=self.greeting), 3, at, 4)
            case CardAnswer():
                words = Scene(Kind.REFUSED, event.problem, event.problem_en, num=event.number)
                self._put(words, 3, at, 4)

    def _hear_punch(self, punch: Punch, at: float) -> None:
        zh, en, again_zh, again_en = WORDS.get(punch.state, WORDS["repeated"])
        if punch.channel is Channel.HERE:  # only this terminal has it, for all it knows
            *_, again_zh, again_en = WORDS["kept"]
            if punch.state == "repeated":
                zh, en = again_zh, again_en
        self._clocked_in[punch.num] = (at, again_zh, again_en)
        self._clocked_in.move_to_end(punch.num)
        if len(self._clocked_in) > REMEMBERED:
            self._clocked_in.popitem(last=False)
        scene = Scene(Kind.RECORDED, zh, en, name=punch.name, num=punch.num, more_zh=self.greeting)
        self._put(scene, 3, at, 4)

    def _hear_result(self, result: Result, at: float) -> None:
        known = next((face for face in result.faces if face.verdict == "identified"), None)
        if known is not None:
            self._put(self._known(known, at), 1, at, 2)
        elif result.faces:
            self._hear_stranger(result.faces[0], at)

    def _known(self, face: Face, at: float) -> Scene:
        when, zh, en = self._clocked_in.get(face.num, (float("-inf"), "", ""))
        if at - when < RECENT_S:
            return Scene(Kind.RECORDED, zh, en, name=face.name, num=face.num)
        return Scene(Kind.CHECKING, "正在记录", "Recording", name=face.name, num=face.num)

    def _hear_stranger(self, face: Face, at: float) -> None:
        if face.verdict == "unknown":
            more = ("请联系办公室", "Please ask the office")
            self._put(Scene(Kind.UNKNOWN, "未识别", "Not recognised", more_zh=more[0], more_en=more[1]), 1, at, 2)
        elif face.problem:
            self._put(Scene(Kind.UNUSABLE, face.problem, face.problem_en), 1, at, 2)

    def _put(self, scene: Scene, weight: int, at: float, seconds: float) -> None:
        if weight >= self._notice.weight or at >= self._notice.until:
            self._notice = _Notice(scene, weight, at + seconds)


# ---- the console


class Console:
    """A line for whatever is worth one."""

    def __init__(self, say: Callable[[str], None], now: Callable[[], datetime]) -> None:
        self._say, self._now = say, now
        self._shown = IDLE

    def show(self, scene: Scene) -> None:
        """What is on the screen, when it changes."""
        if scene == self._shown:
            return
        self._shown = scene
        who = f"{scene.name} ({scene.num})".strip() if scene.name else scene.num
        self._line(" · ".join(filter(None, (scene.kind, who, scene.zh, scene.en))))

    def log(self, event: Event) -> None:
        """What no screen shows."""
        if words := told(event):
            self._line(words)

    def _line(self, words: str) -> None:
        self._say(f"{self._now():%H:%M:%S} {words}")


def told(event: Event) -> str:
    """One line; empty for what the screen shows anyway."""
    match event:
        case Online(channel=channel):
            return f"online: {channel}"
        case Offline(channel=channel, reason=reason, retry_in=wait):
            return f"offline: {channel}: {reason}; again in {wait:.1f} s"
        case Configured(revision=revision):
            return f"configuration {revision}"
        case Delivered(kept=kept, waiting=waiting, refused=refused) if kept or waiting or refused:
            return f"own punches: {kept} more at the server, {waiting} wait, {refused} refused"
        case Recognising(here=here):
            return "this terminal recognises" if here else "the server recognises"
        case Obeyed(command=command, answer=answer):
            said = answer.detail if answer.ok else f"not done: {answer.error} {answer.detail}"
            return f"order {command.action}: {said}"
        case Punch():
            return f"punch {event.state}: {event.name} ({event.num}) at {event.at}"
        case CardAnswer(number=number, state=state, problem_en=problem):
            return f"card {number}: {state or problem}"
        case Blind(reason=reason):
            return f"camera: {reason or 'gives pictures again'}"
        case Trouble(what=what, reason=reason):
            return f"{what}: {reason or 'works again'}"
    return ""
