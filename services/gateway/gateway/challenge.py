"""A challenge over `/stream`: the server asks, watches and judges; the client only sends pictures.

After the hello {"type":"hello","want":"challenge"} every picture is answered with {"type":"challenge"}: the step, the
action asked for, the sentence to show, how many are done. At the end the server closes. Who passed gets the `picture`
to register with (a frame of this attempt, taken at rest, as a data URL) and its `proof`, without which it is not worth
more than any other picture.
"""

import base64
import hashlib
from collections import deque
from datetime import timedelta
from typing import Any, Final

from gateway.answers import problem_dict
from gateway.stream import Stream
from shared.contracts.base import now
from shared.contracts.recognition import Action, Challenge, Frame, Problem, Result, Step, Want
from shared.security import make_ticket, ticket_holds

PROOF_S: Final = 900
"""A proof holds this long, in seconds: time to fill in the form, and to mend it."""

ATTEMPT_S: Final = 90.0
"""No attempt takes longer: four rests of 10 s, three actions of 8 s, and room for a slow network."""

INTERVAL_S: Final = 0.1
"""Between two frames: a nod is over in less than the time between two frames at a door."""

IN_FLIGHT: Final = 8
"""Frames whose answer may still come; one at the recognizer, one in the slot, the rest for redelivered turns."""

# The preview is a mirror and people know their own left: the picture's left is the person's right.
ASKED: Final[dict[Action, tuple[str, str]]] = {
    Action.BLINK: ("请眨眨眼", "Please blink"),
    Action.TURN_LEFT: ("请向右转头", "Turn your head to your right"),
    Action.TURN_RIGHT: ("请向左转头", "Turn your head to your left"),
    Action.NOD: ("请点点头", "Please nod"),
    Action.OPEN_MOUTH: ("请张大嘴巴", "Open your mouth wide"),
}
SAID: Final[dict[Step, tuple[str, str]]] = {
    Step.WAITING: ("请正对镜头，保持一会儿", "Look straight at the camera and hold still"),
    Step.PASSED: ("完成了", "Done"),
    Step.TIMED_OUT: ("时间到了，请再试一次", "That took too long, please try again"),
    Step.FACE_LOST: ("脸离开了画面，请再试一次", "Your face left the picture, please try again"),
    Step.FACE_CHANGED: ("动作太大了，请坐稳再试一次", "That was too far; please keep your place and try again"),
    Step.FLAT: ("看起来是一张照片，请本人再试一次", "This looks like a photo; please try again in person"),
}
GO_ON: Final = ("很好，请回到正面", "Good. Now look straight ahead again")


def sentence(challenge: Challenge) -> tuple[str, str]:
    """What to say now, in Chinese and in English."""
    if challenge.current is not None:
        return ASKED[challenge.current]
    return GO_ON if challenge.step is Step.WAITING and challenge.done else SAID[challenge.step]


def challenge_message(challenge: Challenge, problem: Problem | None) -> dict[str, Any]:
    """What the client is told after a frame; `problem` keeps the attempt from beginning."""
    zh, en = sentence(challenge)
    return {
        "type": "challenge",
        "step": challenge.step,
        "ask": challenge.current,
        "zh": zh,
        "en": en,
        "done": challenge.done,
        "of": len(challenge.actions),
        "limit_s": challenge.limit_s,
        "problem": problem_dict(problem) if problem and challenge.rest is None else None,
    }


def make_proof(secret: str, picture: bytes) -> str:
    """A pass that says: who is on this picture did what was asked, and the picture is of that attempt."""
    return make_ticket(secret, _purpose(picture), PROOF_S)


def proof_holds(secret: str, picture: bytes, proof: str) -> bool:
    """Whether it was made for exactly these bytes, not too long ago."""
    return ticket_holds(secret, _purpose(picture), proof)


def _purpose(picture: bytes) -> str:
    return f"challenge {hashlib.sha256(picture).hexdigest()}"


class ChallengeStream(Stream):
    """One attempt. What has been seen travels with the source's track; here are only the pictures."""

    interval_s = INTERVAL_S
    longest_s = ATTEMPT_S

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        self._sent: deque[tuple[str, bytes]] = deque(maxlen=IN_FLIGHT)
        self._picture = b""

    def _frame(self, jpeg: bytes) -> Frame:
        frame = Frame(
            source=self._origin.source,
            kind=self._origin.kind,
            place=self._origin.place,
            deadline=now() + timedelta(seconds=5),
            want=Want.CHALLENGE,
            streaming=True,
            max_faces=2,
            jpeg=jpeg,
        )
        self._sent.append((frame.frame_id, jpeg))
        return frame

    def _heard(self, result: Result) -> None:
        challenge = result.track.challenge
        if challenge is None or self._ended:
            return
        if challenge.picture and not self._picture:
            self._picture = next((jpeg for frame_id, jpeg in self._sent if frame_id == challenge.picture), b"")
        face = result.faces[0] if result.faces else None
        problem = result.problem or (face.problems[0] if face and face.problems else None)
        message = challenge_message(challenge, problem)
        self._say(message | self._reward() if challenge.step is Step.PASSED else message)
        if challenge.over:
            self._end()

    def _reward(self) -> dict[str, str]:
        """The picture and its proof; nothing if the picture is gone, as after IN_FLIGHT frames of delay. Who passed
        without a picture has proved nothing about any, and the page asks for another attempt."""
        if not self._picture:
            return {}
        secret = self._gateway.settings.secret.get_secret_value()
        data = base64.b64encode(self._picture).decode()
        return {"picture": f"data:image/jpeg;base64,{data}", "proof": make_proof(secret, self._picture)}
