"""What live walls see."""

from typing import ClassVar

from pydantic import AwareDatetime

from shared.contracts.base import Signal
from shared.contracts.recognition import Problem, SourceKind, Verdict


class FeedItem(Signal):
    """One line of a live wall. Carries no picture; a stranger is only "somebody unknown"."""

    subject: ClassVar[str] = "feed.recognition"

    kind: SourceKind
    source: str
    place: str
    verdict: Verdict
    name: str = ""
    num: str = ""
    class_name: str = ""
    score: float = 0.0
    event_id: str = ""
    """the `Identified` event; the punch that follows names the same"""
    problem: Problem | None = None
    captured_at: AwareDatetime
    age_ms: float = 0.0
    """from capture to this line, in milliseconds"""
