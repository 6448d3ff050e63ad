"""What waits for one terminal: the order, each kind's rule, the last word; and that the guide tells the same."""

from pathlib import Path

import pytest

from device_hub.outbox import RULES, Kind, Outbox, WhenFull
from device_hub.protocol import Close

GUIDE = (Path(__file__).parents[3] / "docs" / "terminals.md").read_text("utf-8")
IN_WORDS = {WhenFull.NEWEST_ONLY: "newest only", WhenFull.REFUSE: "refused", WhenFull.DROP_OLDEST: "oldest dropped"}


def sent(outbox: Outbox) -> list[str]:
    return list(iter(outbox.take, None))


def test_kinds_go_in_their_order_and_each_keeps_its_own() -> None:
    outbox = Outbox()
    for text in ("a", "b"):
        for kind in reversed(Kind):
            outbox.put(kind, f"{kind.name} {text}")
    assert sent(outbox) == [
        "WELCOME b",
        "CONFIG b",
        "COMMAND a",
        "COMMAND b",
        "PONG b",
        "KEPT b",
        "LIBRARY b",
        "NEWS a",
        "NEWS b",
    ]
    assert sent(outbox) == []


@pytest.mark.parametrize("kind", list(Kind))
def test_a_full_room_follows_its_rule(kind: Kind) -> None:
    room, rule = RULES[kind]
    outbox = Outbox()
    taken = [outbox.put(kind, str(number)) for number in range(room + 3)]
    waiting = sent(outbox)
    if rule is WhenFull.REFUSE:
        assert taken == [True] * room + [False] * 3
        assert waiting == [str(number) for number in range(room)]
    else:
        assert all(taken)
        assert waiting == [str(number) for number in range(3, room + 3)]
    assert outbox.dropped == (3 if rule is WhenFull.DROP_OLDEST else 0)


def test_news_never_takes_a_commands_place() -> None:
    outbox = Outbox()
    outbox.put(Kind.COMMAND, "open")
    for number in range(1_000):
        outbox.put(Kind.NEWS, str(number))
    assert sent(outbox)[0] == "open"


def test_what_is_withdrawn_is_not_sent() -> None:
    outbox = Outbox()
    for name in ("a", "b"):
        outbox.put(Kind.COMMAND, f"open {name}", name)
    outbox.put(Kind.NEWS, "news")
    outbox.withdraw("a")
    outbox.withdraw("never put in")
    assert sent(outbox) == ["open b", "news"]


def test_the_last_word_drops_what_waits_and_nothing_follows_it() -> None:
    outbox = Outbox()
    for kind in Kind:
        outbox.put(kind, kind.name)
    outbox.last("bye", Close.REPLACED)
    assert not outbox.put(Kind.NEWS, "b")
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


@pytest.mark.parametrize("kind", list(Kind))
def test_the_guide_has_the_same_table(kind: Kind) -> None:
    room, rule = RULES[kind]
    assert f"| {kind.name.lower()} | {room} | {IN_WORDS[rule]} |" in GUIDE
