"""What waits for one terminal: the order, the bound, the last word."""

from device_hub.outbox import MAX_NEWS, Outbox
from device_hub.protocol import Close


def sent(outbox: Outbox) -> list[str]:
    return list(iter(outbox.take, None))


def test_the_welcome_goes_first_and_news_keep_their_order() -> None:
    outbox = Outbox()
    outbox.news("a")
    outbox.news("b")
    outbox.pong("pong")
    outbox.welcome("welcome")
    assert sent(outbox) == ["welcome", "pong", "a", "b"]
    assert sent(outbox) == []


def test_the_oldest_news_is_dropped_and_counted() -> None:
    outbox = Outbox()
    for number in range(MAX_NEWS + 3):
        outbox.news(str(number))
    assert sent(outbox) == [str(number) for number in range(3, MAX_NEWS + 3)]
    assert outbox.dropped == 3


def test_only_the_newest_pong_waits() -> None:
    outbox = Outbox()
    for number in range(1_000):
        outbox.pong(str(number))
    assert sent(outbox) == ["999"]


def test_the_last_word_drops_what_waits_and_nothing_follows_it() -> None:
    outbox = Outbox()
    outbox.welcome("welcome")
    outbox.news("a")
    outbox.pong("pong")
    outbox.last("bye", Close.REPLACED)
    outbox.news("b")
    assert outbox.closing
    assert sent(outbox) == ["bye"]


def test_only_the_first_last_word_counts_and_the_close_is_taken_once() -> None:
    outbox = Outbox()
    assert outbox.take_close() is None
    outbox.last("bye", Close.REPLACED)
    outbox.last("error", Close.RUBBISH)
    assert sent(outbox) == ["bye"]
    assert outbox.take_close() is Close.REPLACED
    assert outbox.take_close() is None


def test_a_silent_end() -> None:
    outbox = Outbox()
    outbox.last(None, Close.BYE)
    assert sent(outbox) == []
    assert outbox.take_close() is Close.BYE
