"""How far the recognizers' copies of the library are."""

from structlog.testing import capture_logs

from gateway.clockin import Indexes
from shared.contracts.recognition import RecognizerAlive


async def heard(indexes: Indexes, name: str, revision: int, *, waiting: int = 0, leaving: bool = False) -> None:
    alive = RecognizerAlive(recognizer=name, revision=revision, waiting=waiting, leaving=leaving)
    await indexes._heard(alive, "")


async def test_one_that_stays_behind_is_named() -> None:
    indexes = Indexes(patience_s=0.05)
    await heard(indexes, "r1", 9)
    await heard(indexes, "r2", 7)
    with capture_logs() as logged:
        assert await indexes.reach(7)
        assert logged == []
        assert not await indexes.reach(9)
    assert [(line["revision"], line["behind"]) for line in logged] == [(9, {"r2": 7})]
    await heard(indexes, "r2", 9)
    assert await indexes.reach(9)


async def test_without_a_recognizer_nothing_is_reached() -> None:
    assert not await Indexes(patience_s=0.05).reach(0)


async def test_what_waits_is_what_the_one_who_knows_most_says() -> None:
    indexes = Indexes()
    assert indexes.waiting == 0
    await heard(indexes, "r1", 9, waiting=2)
    await heard(indexes, "r2", 7, waiting=5)
    assert indexes.waiting == 5
    await heard(indexes, "r2", 9, leaving=True)
    assert indexes.waiting == 2
