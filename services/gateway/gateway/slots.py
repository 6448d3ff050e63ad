"""One slot per source: the newest frame wins, and at most one turn is out. Pure: time is an argument."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from shared.contracts.recognition import Frame, Result, Track
from shared.metrics import nobody_counts


@dataclass(slots=True)
class Slot:
    """What the gateway holds of one source."""

    frame: Frame | None = None
    filled_at: float = 0.0
    turn_at: float | None = None
    """when the turn that is out was asked for, or last heard of; None if none is out"""
    track: Track = field(default_factory=Track)


@dataclass(slots=True)
class Counts:
    """What happened to frames since the start."""

    arrived: int = 0
    replaced: int = 0
    handed_out: int = 0
    answered: int = 0


class Slots:
    """Newest-wins slots by source. Every method says whether a turn must now be asked for."""

    def __init__(self) -> None:
        self._slots: dict[str, Slot] = {}
        self.counts = Counts()
        self.turn_wait_s = 0.0
        """moving average of the time from asking for a turn to handing out the frame, in seconds"""
        self.waited: Callable[[float], None] = nobody_counts
        """told of each such time"""

    def __len__(self) -> int:
        return len(self._slots)

    def put(self, frame: Frame, now: float) -> bool:
        """Fill the source's slot, over whatever was in it. True: ask for a turn."""
        slot = self._slots.setdefault(frame.source, Slot())
        self.counts.arrived += 1
        self.counts.replaced += slot.frame is not None
        slot.frame, slot.filled_at = frame, now
        return self._want_turn(slot, now)

    def take(self, source: str, now: float, at: datetime) -> Frame | None:
        """The newest frame, with the source's track; None if there is none, or none that is still in time `at` this
        moment: that turn is over.

        The frame stays until its result comes: if the recognizer dies, the next one gets it, or a newer one.
        """
        slot = self._slots.get(source)
        if slot is None:
            return None
        if slot.frame is None or slot.frame.deadline < at:
            slot.frame = slot.turn_at = None
            return None
        self.counts.handed_out += 1
        if slot.turn_at is not None:
            self.waited(now - slot.turn_at)
            self.turn_wait_s += 0.1 * (now - slot.turn_at - self.turn_wait_s)
        return slot.frame.model_copy(update={"track": slot.track})

    def settle(self, result: Result, now: float) -> bool:
        """A result came: its turn is over. True: a newer frame waits, ask for a turn."""
        slot = self._slots.get(result.source)
        if slot is None:
            return False
        self.counts.answered += 1
        slot.turn_at, slot.track = None, result.track
        if slot.frame is not None and slot.frame.frame_id == result.frame_id:
            slot.frame = None
        return self._want_turn(slot, now)

    def in_work(self, source: str, now: float) -> None:
        """A recognizer says that it is busy with the source's frame: its turn is not lost."""
        slot = self._slots.get(source)
        if slot is not None and slot.turn_at is not None:
            slot.turn_at = now

    def overdue(self, now: float, patience_s: float) -> list[str]:
        """Sources whose turn has been out for longer than `patience_s`: it may be lost, ask again."""
        late = [
            source
            for source, slot in self._slots.items()
            if slot.frame is not None and slot.turn_at is not None and now - slot.turn_at > patience_s
        ]
        for source in late:
            self._slots[source].turn_at = now
        return late

    def waiting(self) -> list[str]:
        """Sources with a frame: after a broker restart their turns are gone and must be asked for again."""
        return [source for source, slot in self._slots.items() if slot.frame is not None]

    def forget(self, source: str) -> None:
        """The source left."""
        self._slots.pop(source, None)

    @staticmethod
    def _want_turn(slot: Slot, now: float) -> bool:
        if slot.frame is None or slot.turn_at is not None:
            return False
        slot.turn_at = now
        return True
