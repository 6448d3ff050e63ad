"""Any history of a terminal, a bad link and hubs that are killed ends with each punch in the ledger exactly once.

The terminal's store, the hub's conversation and the ranges of the registry are the real ones; the link loses, doubles,
reorders and cuts; between them stands the registry's rule in a few lines (its own tests are on real databases).
"""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from device_hub.protocol import Conversation, Kept, Later, Punches
from shared import ranges
from shared.contracts.offline import MAX_RANGES, KeepPunches, PunchesKept, Ranges, Refusal, RefusedPunch, report_id
from terminal.events import read_object
from terminal.punches import PunchStore
from terminal.punches import State as Stands
from terminal.sealing import open_vault

START = datetime(2026, 3, 2, 0, 0, tzinfo=UTC)
HELLO = '{"type":"hello","versions":[1]}'
STRANGER = "nobody"
SELDOM = st.sampled_from([False, False, False, True])


class Ledger:
    """The registry: one punch for each event id, whatever comes how often."""

    def __init__(self) -> None:
        self.punches: dict[str, tuple[str, datetime]] = {}
        self.heard: dict[str, Ranges] = {}
        self.known: set[str] = {"a", "b"}

    def keep(self, asked: KeepPunches) -> PunchesKept:
        refused = []
        for punch in asked.punches:
            if punch.who in self.known:
                self.punches.setdefault(report_id(7, str(punch.seq), punch.at), (punch.who, punch.at))
            else:
                refused.append(RefusedPunch(seq=punch.seq, error=Refusal.UNKNOWN))
        told = [punch.seq for punch in asked.punches]
        heard = ranges.joined([*self.heard.get(asked.epoch, ()), *ranges.of(told), *asked.gone])
        self.heard[asked.epoch] = ranges.read(ranges.written(heard))
        kept = ranges.of(set(told) - {r.seq for r in refused})
        return PunchesKept(kept=kept, refused=tuple(refused), missing=ranges.gaps(heard, asked.last)[:MAX_RANGES])


class Link(RuleBasedStateMachine):
    """Frames wait in two lists; rules deliver, drop, double and swap them."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.vault = open_vault(Path(self.folder.name), b"secret")
        self.store = self.opened()
        self.ledger = Ledger()
        self.made: list[tuple[str, datetime]] = []
        self.at = START
        self.clock = 0.0
        self.restored = False
        self.connect()

    def opened(self) -> PunchStore:
        return PunchStore(Path(self.folder.name) / "punches.db", self.vault)

    def teardown(self) -> None:
        self.make_up()
        self.store.close()
        self.folder.cleanup()

    @rule()
    def connect(self) -> None:
        """A new connection: what was on its way is lost, or comes much too late."""
        self.hub, self.to_hub, self.to_terminal = Conversation(), list[str](), list[str]()
        self.clock += 1.0
        self.hub.receive(HELLO, self.clock)
        self.store.begin()
        self.asking = True

    @rule(who=st.sampled_from(["a", "b", STRANGER]), step=st.integers(-3, 10))
    def punch(self, who: str, step: int) -> None:
        """Somebody comes; the clock may have stepped back."""
        self.at += timedelta(seconds=61 * step, milliseconds=1)
        if self.store.add(who, who, self.at, 90).new:
            self.made.append((who, self.at))

    @rule()
    def say(self) -> None:
        """The terminal sends what it has, without waiting for an answer: worse than it does."""
        frame = self.store.batch(asking=self.asking)
        if frame is not None and len(self.to_hub) < 6:
            self.to_hub.append(frame)

    @precondition(lambda self: self.to_hub)
    @rule(data=st.data(), away=SELDOM, lost=SELDOM, again=SELDOM)
    def hub_hears(self, data: st.DataObject, away: bool, lost: bool, again: bool) -> None:
        """The hub reads a frame, perhaps not the first; the registry may be away; the hub may die before it answers."""
        frame = self.to_hub.pop(data.draw(st.integers(0, len(self.to_hub) - 1)))
        if again:
            self.to_hub.append(frame)
        text = self.answer(frame, away=away)
        if not lost:
            self.to_terminal.append(text)

    def answer(self, frame: str, *, away: bool) -> str:
        """The hub's, with the registry's."""
        self.clock += 1.0
        message = self.hub.receive(frame, self.clock)
        assert isinstance(message, Punches)
        if away:
            return Later(epoch=message.epoch, retry_s=1).text()
        found = self.ledger.keep(message.question(7))
        return Kept(epoch=message.epoch, kept=found.kept, refused=found.refused, missing=found.missing).text()

    @rule()
    def all_goes_well(self) -> None:
        if (frame := self.store.batch(asking=self.asking)) is not None:
            self.take(self.answer(frame, away=False))

    @precondition(lambda self: self.to_terminal)
    @rule(data=st.data(), again=SELDOM)
    def terminal_hears(self, data: st.DataObject, again: bool) -> None:
        frame = self.to_terminal.pop(data.draw(st.integers(0, len(self.to_terminal) - 1)))
        if again and len(self.to_terminal) < 6:
            self.to_terminal.append(frame)
        self.take(frame)

    def take(self, frame: str) -> None:
        message = read_object(frame)
        if message["type"] == "punches_kept":
            self.store.answered(message)
            self.asking = False

    @precondition(lambda self: self.made)
    @rule()
    def restart(self) -> None:
        """The terminal's program is killed and started again."""
        self.store.close()
        self.store = self.opened()
        self.connect()

    @precondition(lambda self: self.ledger.punches)
    @rule()
    def restore(self) -> None:
        """The server comes back from a backup of long ago."""
        self.restored = True
        self.ledger.punches.clear()
        self.ledger.heard.clear()
        self.to_terminal.clear()
        self.connect()

    @rule()
    def registered(self) -> None:
        """The office registers the stranger after all."""
        self.ledger.known.add(STRANGER)
        self.store.try_again()

    @invariant()
    def nothing_is_doubled_or_invented(self) -> None:
        recorded = list(self.ledger.punches.values())
        assert len(set(recorded)) == len(recorded)
        assert set(recorded) <= set(self.made)

    @invariant()
    def what_is_said_to_be_kept_is_in_the_ledger(self) -> None:
        if not self.restored:
            kept = {(stored.num, stored.at) for stored in self.store.rows() if stored.state is Stands.KEPT}
            assert kept <= set(self.ledger.punches.values())

    def make_up(self) -> None:
        """A good link, for as long as there is something to say."""
        self.connect()
        for _ in range(50):
            frame = self.store.batch(asking=self.asking)
            if frame is None:
                break
            self.take(self.answer(frame, away=False))
        else:
            raise AssertionError("it never ends")
        known = {made for made in self.made if made[0] in self.ledger.known}
        assert sorted(self.ledger.punches.values()) == sorted(known)
        kept = {(stored.num, stored.at) for stored in self.store.rows() if stored.state is Stands.KEPT}
        assert kept == known
        refused = {(stored.num, stored.at) for stored in self.store.rows() if stored.state is Stands.REFUSED}
        assert refused == set(self.made) - known


Link.TestCase.settings = settings(max_examples=15, stateful_step_count=30, deadline=None)
TestLink = Link.TestCase
