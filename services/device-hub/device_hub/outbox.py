"""What waits to be sent to one terminal: each kind of message has its room and its rule for when that is full. Pure."""

from dataclasses import dataclass, field
from enum import Enum, IntEnum, auto
from typing import Final, NamedTuple

from device_hub.protocol import Close


class Kind(IntEnum):
    """Kinds of messages, in the order in which those that wait are sent."""

    WELCOME = auto()
    CONFIG = auto()
    COMMAND = auto()
    PONG = auto()
    NEWS = auto()
    """results, punches"""


class WhenFull(Enum):
    """What a full room does with one more message."""

    NEWEST_ONLY = auto()
    REFUSE = auto()
    DROP_OLDEST = auto()


class Rule(NamedTuple):
    """How many messages may wait, and what happens then."""

    room: int
    when_full: WhenFull


RULES: Final = {
    Kind.WELCOME: Rule(1, WhenFull.NEWEST_ONLY),
    # It holds the whole configuration: an older one is of no use.
    Kind.CONFIG: Rule(1, WhenFull.NEWEST_ONLY),
    # Somebody waits for the answer and is told; never dropped for another, withdrawn when its time is over.
    Kind.COMMAND: Rule(8, WhenFull.REFUSE),
    Kind.PONG: Rule(1, WhenFull.NEWEST_ONLY),
    # A door's screen wants what happens now. At most 64 KiB each, so a terminal that never reads costs 4 MiB at worst.
    Kind.NEWS: Rule(64, WhenFull.DROP_OLDEST),
}
"""The same table stands in docs/terminals.md."""


class _Waiting(NamedTuple):
    kind: Kind
    text: str
    name: str


@dataclass(slots=True)
class Outbox:
    """Follows RULES. The last word drops all that waits, and nothing comes after it.

    One list, because almost all outboxes are empty: a deque for each kind would take 4 KiB.
    """

    dropped: int = 0
    closing: bool = False
    """whether the last word was put in"""
    _waiting: list[_Waiting] = field(default_factory=list)
    _last: str | None = None
    _code: Close | None = None

    def __len__(self) -> int:
        """Messages that wait."""
        return len(self._waiting)

    def put(self, kind: Kind, text: str, name: str = "") -> bool:
        """Put a message in; False if it was refused. `name`: see `withdraw`."""
        if self.closing:
            return False
        rule, same = RULES[kind], [place for place, other in enumerate(self._waiting) if other.kind is kind]
        if len(same) >= rule.room:
            if rule.when_full is WhenFull.REFUSE:
                return False
            del self._waiting[same[0]]
            self.dropped += rule.when_full is WhenFull.DROP_OLDEST
        self._waiting.append(_Waiting(kind, text, name))
        return True

    def withdraw(self, name: str) -> None:
        """Take back what was put in under this name, if it still waits."""
        self._waiting = [waiting for waiting in self._waiting if waiting.name != name]

    def last(self, text: str | None, close: Close) -> None:
        """The last word and the code to close with; only the first call counts."""
        if self.closing:
            return
        self.closing = True
        self._last, self._code = text, close
        self._waiting.clear()

    def take(self) -> str | None:
        """The next frame to send, None when nothing waits."""
        if self._waiting:
            first = min(range(len(self._waiting)), key=lambda place: self._waiting[place].kind)
            return self._waiting.pop(first).text
        text, self._last = self._last, None
        return text

    def take_close(self) -> Close | None:
        """The code to close with, once, when all is sent; None while the conversation goes on."""
        code, self._code = self._code, None
        return code
