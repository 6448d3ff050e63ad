"""Who is it, and is it sure enough to say? Pure: time is an argument.

A match counts when its cosine reaches the threshold for the gallery's size (shared.vision.calibration: FPIR, not a
fixed FAR) and stands clear of the next other person. In a stream two of the last three looks at one face must agree,
also on its being nobody: a half-turned head is not called a stranger at once.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.contracts.recognition import Box, Track, TrackedFace
from shared.vision.crowd import Match

MARGIN = 0.05
"""cosine between the best person and the next: closer than this are look-alikes or one face under two names. Of 50
East-Asian figures it takes away 8 % of the wrong names and costs 0.08 % of the right ones (of 900 LFW people: all wrong
names, 0.01 %); 0.03 takes away 3 %, 0.08 takes away 16 % and costs 0.2 %."""

TWICE_ENROLLED_FPIR = 0.0003
"""A new face that is wrongly "registered already" sends somebody to the office: ten times rarer than a wrong name."""

VOTES = 2
LOOKS = 3
"""In a stream, VOTES of the last LOOKS must name the same person."""

SAME_FACE = 0.3
"""overlap (intersection over union) at which a face continues a track: a walking person at 5 frames/s keeps 0.4"""

STEADY = 0.6
"""overlap at which a face has not moved: nobody else stepped in within LOOK_AGAIN"""

TRACK_MEMORY = timedelta(seconds=2)
LOOK_AGAIN = timedelta(seconds=1)
"""A steady face that was reported is searched again after this; in between it is answered from its track."""

REPORT_AGAIN = timedelta(seconds=10)
"""Somebody who stays in view is reported to the registry this often; it answers "already clocked in"."""


def sure(match: Match | None, threshold: float) -> int:
    """The student id of a match that counts, else 0."""
    if match is None or match.cosine < threshold or match.cosine - match.runner_up < MARGIN:
        return 0
    return match.student_id


def continued(track: Track, box: Box, at: datetime) -> TrackedFace | None:
    """The tracked face that `box` continues, if any."""
    fresh = [face for face in track.faces if at - face.seen_at <= TRACK_MEMORY]
    best = max(fresh, key=lambda face: face.box.overlap(box), default=None)
    return best if best is not None and best.box.overlap(box) >= SAME_FACE else None


def known_from_track(past: TrackedFace | None, box: Box, at: datetime) -> bool:
    """Whether this face can be answered without another search."""
    if past is None or not past.reported_id or past.looked_at is None or past.reported_at is None:
        return False
    agreed = bool(past.votes) and past.votes[-1] == past.reported_id
    steady = past.box.overlap(box) >= STEADY
    return agreed and steady and at - past.looked_at < LOOK_AGAIN and at - past.reported_at < REPORT_AGAIN


@dataclass(frozen=True, slots=True)
class Decision:
    """`student_id` 0: nobody. `pending`: not sure yet, wait for another look. `held`: sure of somebody, who must first
    show to be alive. `news`: report it as an event."""

    student_id: int
    pending: bool
    held: bool
    news: bool
    face: TrackedFace


def decide(
    past: TrackedFace | None,
    box: Box,
    at: datetime,
    found: int,
    score: float,
    *,
    streaming: bool,
    event_id: str,
    hold: bool = False,
) -> Decision:
    """Weigh a fresh look (`found`: a student id or 0) with the track so far; `event_id` is used if it is news.
    `hold`: nobody is named or reported in this frame."""
    votes = ((past.votes if past else ()) + (found,))[-LOOKS:]
    needed = VOTES if streaming else 1
    agreed = votes.count(found) >= needed
    face = TrackedFace(
        box=box,
        seen_at=at,
        votes=votes,
        looked_at=at,
        score=score,
        reported_id=past.reported_id if past else 0,
        reported_at=past.reported_at if past else None,
        event_id=past.event_id if past else "",
    )
    held = hold and agreed and found != 0
    news = agreed and found != 0 and not held and not _reported(face, found, at)
    if news:
        face = face.model_copy(update={"reported_id": found, "reported_at": at, "event_id": event_id})
    return Decision(found if agreed and not held else 0, not agreed or held, held, news, face)


def _reported(face: TrackedFace, student_id: int, at: datetime) -> bool:
    return face.reported_id == student_id and face.reported_at is not None and at - face.reported_at < REPORT_AGAIN
