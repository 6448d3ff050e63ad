"""A lock that always closes again."""

import asyncio
import termios

import pytest

from shared.testing import eventually
from terminal.latch import LAST_TRIES, Latch, SwitchError
from tests.unit.terminal.switch_double import SwitchDouble


def a_latch(switch: SwitchDouble, troubles: list[str] | None = None) -> Latch:
    return Latch(switch, (troubles if troubles is not None else []).append, retry_s=0.02)


async def test_it_is_locked_at_the_beginning_and_closes_in_time() -> None:
    switch = SwitchDouble()
    async with a_latch(switch) as latch:
        await switch.comes_to(False)
        await latch.open(0.2)
        assert switch.states == [False, True]
        await switch.comes_to(False, True, False)
        (opened, _), (closed, _) = switch.turned[1:]
        assert 0.2 <= closed - opened < 3


async def test_a_second_opening_extends_the_first() -> None:
    switch = SwitchDouble()
    async with a_latch(switch) as latch:
        await switch.comes_to(False)
        await latch.open(0.15)
        await latch.open(0.5)
        await switch.comes_to(False, True, True, False)
        assert switch.turned[-1][0] - switch.turned[1][0] >= 0.5


async def test_a_shorter_opening_does_not_cut_a_longer_one() -> None:
    switch = SwitchDouble()
    async with a_latch(switch) as latch:
        await switch.comes_to(False)
        await latch.open(0.4)
        await latch.open(0.05)
        await switch.comes_to(False, True, True, False)
        assert switch.turned[-1][0] - switch.turned[1][0] >= 0.4


async def test_it_opens_again_after_it_closed() -> None:
    switch = SwitchDouble()
    async with a_latch(switch) as latch:
        await switch.comes_to(False)
        for number in (1, 2):
            await latch.open(0.02)
            await switch.comes_to(False, *(True, False) * number)


@pytest.mark.parametrize("how", ["leaves", "fails", "is cancelled"])
async def test_it_is_locked_when_the_program_ends(how: str) -> None:
    switch, opened = SwitchDouble(), asyncio.Event()

    async def program() -> None:
        async with a_latch(switch) as latch:
            await latch.open(3_600)
            opened.set()
            if how == "fails":
                raise ValueError(how)
            if how == "is cancelled":
                await asyncio.Event().wait()

    running = asyncio.create_task(program())
    await opened.wait()
    if how == "is cancelled":
        running.cancel()
    [error] = await asyncio.gather(running, return_exceptions=True)
    assert type(error) is {"leaves": type(None), "fails": ValueError}.get(how, asyncio.CancelledError)
    assert (switch.states[-1], switch.closed) == (False, True)


async def test_a_relay_that_does_not_close_is_tried_until_it_does() -> None:
    switch, troubles = SwitchDouble(), list[str]()
    async with a_latch(switch, troubles) as latch:
        await switch.comes_to(False)
        await latch.open(0.01)
        switch.broken = True
        tries = switch.tries

        async def tried_again() -> bool:
            return switch.tries >= tries + 3

        await eventually(tried_again)
        assert troubles == ["the relay does not answer"]
        switch.broken = False
        await switch.comes_to(False, True, False)
    assert troubles == ["the relay does not answer", ""]


async def test_an_opening_that_failed_is_closed_too_for_it_may_have_opened() -> None:
    switch = SwitchDouble()
    async with a_latch(switch) as latch:
        await switch.comes_to(False)
        switch.broken = True
        with pytest.raises(SwitchError, match="does not answer"):
            await latch.open(3_600)
        switch.broken = False
        await switch.comes_to(False, False)


async def test_a_relay_that_never_answers_does_not_keep_the_program() -> None:
    switch = SwitchDouble(broken=True)
    async with asyncio.timeout(5), a_latch(switch):
        pass
    assert switch.closed


async def test_a_driver_that_fails_once_while_it_closes_is_tried_again() -> None:
    switch, troubles = SwitchDouble(), list[str]()
    async with a_latch(switch, troubles) as latch:
        await switch.comes_to(False)
        await latch.open(0.01)
        switch.faults = iter([ValueError("a frame cut short")])
        await switch.comes_to(False, True, False)
        assert troubles == ["The driver has failed: ValueError: a frame cut short", ""]
        await latch.open(0.01)
        await switch.comes_to(False, True, False, True, False)


async def test_a_driver_that_fails_while_it_opens_is_one_error_and_is_closed() -> None:
    switch = SwitchDouble()
    async with a_latch(switch) as latch:
        await switch.comes_to(False)
        switch.faults = iter([termios.error(5, "Input/output error")])
        with pytest.raises(SwitchError, match="Input/output error"):
            await latch.open(3_600)
        await switch.comes_to(False, False)


@pytest.mark.parametrize("how_often", [1, LAST_TRIES - 1, 1_000])
async def test_a_driver_that_fails_at_the_end_is_asked_to_close_all_the_same(how_often: int) -> None:
    switch = SwitchDouble()
    async with asyncio.timeout(5), a_latch(switch) as latch:
        await switch.comes_to(False)
        await latch.open(3_600)
        switch.faults, tries = iter([ValueError("gone")] * how_often), switch.tries
    assert switch.tries == tries + min(how_often + 1, LAST_TRIES)
    assert switch.states[-1] is (how_often >= LAST_TRIES)
    assert switch.closed
