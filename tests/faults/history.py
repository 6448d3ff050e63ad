"""What people and terminals were shown against what the ledger says. Pure: nothing here looks at a clock or a database.

The cameras' own notes say who stood before which camera when, so a punch whose time or name is wrong contradicts them.
"""

import itertools
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

NOBODY = ""
"""before a camera: an empty doorway, or somebody who is not registered"""

CHANGING = timedelta(seconds=0.5)
"""A screen knows the age of a picture only after its way back: so much earlier it may have been taken. Shorter than the
empty doorway between two people."""


class Kind(StrEnum):
    """What can go wrong."""

    LOST = "lost"
    DOUBLED = "doubled"
    UNFOUNDED = "unfounded"
    """called recorded, and it is not, or was not yet"""
    MISNAMED = "misnamed"
    TIME = "time"
    ORDER = "order"


class Violation(NamedTuple):
    """One promise that was broken, in words."""

    kind: Kind
    what: str


@dataclass(frozen=True, slots=True)
class Sent:
    """A camera sent a picture of `num`."""

    at: datetime
    num: str


@dataclass(frozen=True, slots=True)
class Named:
    """A screen showed a name for a face, with the event that reports it.

    `captured_at` as the screen knows it, None on walls, which show seconds only. It is the latest that it can have
    been: the gateway says how old the picture is when it answers, and the answer may then be held up. `since`: when
    the same screen got the answer before.
    """

    watcher: str
    place: str
    event: str
    num: str
    captured_at: datetime | None = None
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """A screen said "recorded" (`first_at` None) or "repeated". Times as shown, in whole seconds."""

    watcher: str
    place: str
    event: str
    num: str
    captured_at: datetime
    heard_at: datetime
    first_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Punch:
    """A row of the ledger."""

    event: str
    num: str
    place: str
    captured_at: datetime
    recorded_at: datetime


@dataclass(slots=True)
class History:
    """All that cameras and screens noted, each list in the order in which its writer saw it."""

    sent: dict[str, list[Sent]] = field(default_factory=lambda: defaultdict(list))
    """by place"""
    named: list[Named] = field(default_factory=list)
    told: list[Told] = field(default_factory=list)
    results: Counter[str] = field(default_factory=Counter)
    """answers to pictures, by place"""
    answered_at: dict[str, datetime] = field(default_factory=dict)
    """when the last of them came"""
    hurried: set[str] = field(default_factory=set)
    """places whose camera sends by its own clock: its newest picture may still be on its way"""

    def stood(self, place: str, at: datetime) -> str:
        """Who was on the newest picture that this place's camera had sent by then."""
        sent = self.sent.get(place, [])
        before = bisect_right(sent, at, key=lambda frame: frame.at)
        return sent[before - 1].num if before else NOBODY

    def seen(self, place: str, since: datetime, until: datetime) -> set[str]:
        """Who was on any picture that was this camera's newest between these times."""
        sent = self.sent.get(place, [])
        first, last = (bisect_right(sent, at, key=lambda frame: frame.at) for at in (since, until))
        return {self.stood(place, since), *(frame.num for frame in sent[first:last])}


@dataclass(frozen=True, slots=True)
class Ledger:
    """The database when all has come to rest, and how many identified faces the broker accepted as events."""

    punches: tuple[Punch, ...]
    """in the order of their ids"""
    settled: frozenset[str]
    """events in the ledger's inbox"""
    accepted: int
    unsent: int = 0
    """news that still waits in the outbox"""


def violations(history: History, ledger: Ledger, debounce_s: float) -> list[Violation]:
    """Every broken promise; empty when all were kept."""
    checks: tuple[Iterable[Violation], ...] = (
        _lost(history, ledger),
        _doubled(ledger, debounce_s),
        _unfounded(history, ledger),
        _misnamed(history, ledger),
        _wrong_times(history, ledger),
        _out_of_order(history, ledger),
    )
    return [violation for check in checks for violation in check]


def _lost(history: History, ledger: Ledger) -> Iterator[Violation]:
    """An identified frame that was accepted as an event is settled, and its outcome announced."""
    for event in sorted({named.event for named in history.named} - ledger.settled):
        yield Violation(Kind.LOST, f"{event} was shown as identified and never settled")
    if ledger.accepted != len(ledger.settled):
        yield Violation(Kind.LOST, f"the broker accepted {ledger.accepted} events, {len(ledger.settled)} are settled")
    if ledger.unsent:
        yield Violation(Kind.LOST, f"{ledger.unsent} outcomes were never announced")
    for punch in ledger.punches:
        if punch.event not in ledger.settled:
            yield Violation(Kind.LOST, f"{punch.event} has a punch, and the inbox does not know it")


def _doubled(ledger: Ledger, debounce_s: float) -> Iterator[Violation]:
    """One punch for each event, and for each visit."""
    for event, rows in Counter(punch.event for punch in ledger.punches).items():
        if rows > 1:
            yield Violation(Kind.DOUBLED, f"{event} has {rows} punches")
    for (num, place), visits in _visits(ledger).items():
        times = sorted(punch.captured_at for punch in visits)
        for earlier, later in itertools.pairwise(times):
            if later - earlier < timedelta(seconds=debounce_s):
                yield Violation(Kind.DOUBLED, f"{num} has punches at {earlier} and {later} at {place}")


def _unfounded(history: History, ledger: Ledger) -> Iterator[Violation]:
    """What was called recorded or repeated stands in the ledger, and stood there when it was said."""
    by_event = {punch.event: punch for punch in ledger.punches}
    visits = _visits(ledger)
    for told in history.told:
        who = f"{told.watcher} was told that {told.event} of {told.num}"
        punch = by_event.get(told.event)
        if told.first_at is None:
            if punch is None:
                yield Violation(Kind.UNFOUNDED, f"{who} is recorded, and it is not")
            elif told.heard_at < punch.recorded_at:
                yield Violation(Kind.UNFOUNDED, f"{who} is recorded before it was")
            elif (told.num, told.place) != (punch.num, punch.place):
                yield Violation(Kind.UNFOUNDED, f"{who} at {told.place} is recorded: of {punch.num} at {punch.place}")
        elif punch is not None:
            yield Violation(Kind.UNFOUNDED, f"{who} repeats a punch, and it is one")
        elif told.first_at not in {_shown(punch.captured_at) for punch in visits.get((told.num, told.place), ())}:
            yield Violation(Kind.UNFOUNDED, f"{who} repeats the punch of {told.first_at}, and there is none")


def _misnamed(history: History, ledger: Ledger) -> Iterator[Violation]:
    """Nobody is named who did not stand there: no stranger, no empty doorway, nobody else."""
    for punch in ledger.punches:
        stood = history.seen(punch.place, punch.captured_at - _on_its_way(history, punch.place), punch.captured_at)
        if punch.num not in stood:
            shown = " or ".join(sorted(num or "a stranger" for num in stood))
            yield Violation(Kind.MISNAMED, f"the punch of {punch.num} at {punch.place} shows {shown}")
    for named in history.named:
        if named.captured_at is not None:
            since = min(named.captured_at, named.since or named.captured_at) - CHANGING
            if named.num not in history.seen(named.place, since, named.captured_at):
                yield Violation(Kind.MISNAMED, f"{named.watcher} named {named.num} at {named.captured_at}: not there")
    for told in history.told:
        within = (told.captured_at - _on_its_way(history, told.place), told.captured_at + timedelta(seconds=1))
        if told.first_at is not None and told.num not in history.seen(told.place, *within):
            yield Violation(Kind.MISNAMED, f"{told.watcher} was told that {told.num} is back: not there")
    names = defaultdict(set)
    for shown in (*history.named, *history.told, *ledger.punches):
        names[shown.event].add(shown.num)
    for event, nums in names.items():
        if len(nums) > 1:
            yield Violation(Kind.MISNAMED, f"{event} was shown as {' and as '.join(sorted(nums))}")


def _on_its_way(history: History, place: str) -> timedelta:
    """How long before the gateway had it, which gives it its time, a picture may have been sent with others after it. A
    door that waits for each answer sends no other."""
    return CHANGING if place in history.hurried else timedelta(0)


def _wrong_times(history: History, ledger: Ledger) -> Iterator[Violation]:
    """A punch has the time of its picture, however late it was written, and screens show that time."""
    by_event = {punch.event: punch for punch in ledger.punches}
    for named in history.named:
        punch = by_event.get(named.event)
        known = named.captured_at
        # Earlier is right: a face that stays is named again and again with the event of its first picture.
        if punch is not None and known is not None and punch.captured_at - known > CHANGING:
            yield Violation(Kind.TIME, f"{named.event} was seen at {known}, its punch says {punch.captured_at}")
    for told in history.told:
        punch = by_event.get(told.event)
        if punch is not None and told.captured_at != _shown(punch.captured_at):
            yield Violation(Kind.TIME, f"{told.watcher} shows {told.captured_at} for the punch of {punch.captured_at}")


def _out_of_order(history: History, ledger: Ledger) -> Iterator[Violation]:
    """The first sighting of a visit is its punch, and punches of one student come in the order of their pictures."""
    for told in history.told:
        if told.first_at is not None and told.first_at > told.captured_at:
            yield Violation(Kind.ORDER, f"{told.event} of {told.captured_at} repeats the later {told.first_at}")
    for (num, place), visits in _visits(ledger).items():
        for earlier, later in itertools.pairwise(visits):
            if later.captured_at < earlier.captured_at:
                yield Violation(Kind.ORDER, f"{num} at {place}: {later.event} was written after {earlier.event}")
    newest: dict[tuple[str, str, str], datetime] = {}
    for told in history.told:
        if told.first_at is None:
            key = (told.watcher, told.place, told.num)
            if told.captured_at < newest.setdefault(key, told.captured_at):
                yield Violation(Kind.ORDER, f"{told.watcher} was told of {told.event} after a later punch")
            newest[key] = max(newest[key], told.captured_at)


def _visits(ledger: Ledger) -> dict[tuple[str, str], list[Punch]]:
    """Punches by student and place."""
    visits = defaultdict(list)
    for punch in ledger.punches:
        visits[punch.num, punch.place].append(punch)
    return visits


def _shown(moment: datetime) -> datetime:
    """As screens show it."""
    return moment.replace(microsecond=0)
