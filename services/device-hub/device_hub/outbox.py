"""What waits to be sent to one terminal: bounded, the newest news wins. Pure."""

from dataclasses import dataclass, field

from device_hub.protocol import Close

MAX_NEWS = 64
"""News that waits for one terminal. At most 64 KiB each, so a terminal that never reads costs 4 MiB at worst."""


@dataclass(slots=True)
class Outbox:
    """Four kinds, four rules. The welcome goes first. Of pongs only the newest waits. News (results, punches) is
    dropped oldest first, because a door's screen wants what happens now. The last word drops all that waits.

    News is a list, not a deque: an empty deque takes 0.7 KiB, and almost all outboxes are empty."""

    dropped: int = 0
    closing: bool = False
    """whether the last word was put in"""
    _welcome: str | None = None
    _pong: str | None = None
    _news: list[str] = field(default_factory=list)
    _last: str | None = None
    _code: Close | None = None

    def welcome(self, text: str) -> None:
        self._welcome = text

    def pong(self, text: str) -> None:
        self._pong = text

    def news(self, text: str) -> None:
        """Put news in; the oldest goes where there is no room."""
        if self.closing:
            return
        if len(self._news) == MAX_NEWS:
            self._news.pop(0)
            self.dropped += 1
        self._news.append(text)

    def last(self, text: str | None, close: Close) -> None:
        """The last word and the code to close with; only the first call counts."""
        if self.closing:
            return
        self.closing = True
        self._last, self._code = text, close
        self._welcome = self._pong = None
        self._news.clear()

    def take(self) -> str | None:
        """The next frame to send, None when nothing waits."""
        text: str | None
        if self._welcome is not None:
            text, self._welcome = self._welcome, None
        elif self._pong is not None:
            text, self._pong = self._pong, None
        elif self._news:
            return self._news.pop(0)
        else:
            text, self._last = self._last, None
        return text

    def take_close(self) -> Close | None:
        """The code to close with, once, when all is sent; None while the conversation goes on."""
        code, self._code = self._code, None
        return code
