"""When the lamp burns, and that it does."""

import pytest

from shared.contracts.devices import FillLight
from shared.runtime import background
from shared.testing import eventually
from terminal.lights import BRIGHT, DARK, HOLD_S, Lamp, Light
from tests.unit.terminal.switch_double import SwitchDouble


def after(lamp: Lamp, brightness: float, at: float) -> bool:
    """Whether it burns once the picture was so bright for a while."""
    for _ in range(50):
        lamp.look(brightness, at)
    return lamp.now(at)


def test_it_burns_in_the_dark_and_not_in_the_light() -> None:
    assert after(Lamp(), DARK - 5, 0) is True
    assert after(Lamp(), DARK + 5, 0) is False


def test_a_lamp_that_brightens_the_picture_does_not_flicker() -> None:
    lamp = Lamp()
    assert after(lamp, DARK - 20, 0)
    for hour in range(1, 5):
        assert after(lamp, BRIGHT - 10, hour * 3_600)
    assert not after(lamp, BRIGHT + 10, 5 * 3_600)


def test_a_shadow_is_no_night() -> None:
    lamp = Lamp()
    assert not after(lamp, 120, 0)
    assert not lamp.look(0, 1)
    assert after(lamp, 0, 2)
    assert after(lamp, 255, 2 + HOLD_S - 1)
    assert not after(lamp, 255, 2 + HOLD_S)


@pytest.mark.parametrize(("mode", "burns"), [(FillLight.ON, True), (FillLight.OFF, False)])
def test_the_office_decides_at_once(mode: FillLight, burns: bool) -> None:
    lamp = Lamp()
    after(lamp, 0 if not burns else 255, 0)
    lamp.mode = mode
    assert lamp.now(0.1) is burns
    assert after(lamp, 0, 100) is burns


async def test_the_lamp_follows_and_goes_out_at_the_end() -> None:
    switch, troubles = SwitchDouble(), list[str]()
    light = Light(switch, troubles.append, retry_s=0.02)
    async with background(light.run()):
        await switch.comes_to(False)
        light.wish(FillLight.ON)
        await switch.comes_to(False, True)
        light.look(255)
        light.wish(FillLight.OFF)
        await switch.comes_to(False, True, False)
        switch.broken = True
        light.wish(FillLight.ON)

        async def tried_again() -> bool:
            return switch.tries >= 6

        await eventually(tried_again)
        switch.broken = False
        await switch.comes_to(False, True, False, True)

        async def is_well() -> bool:
            return troubles == ["the relay does not answer", ""]

        await eventually(is_well)
        switch.faults = iter([ValueError("a driver's fault")])
        light.wish(FillLight.OFF)
        await switch.comes_to(False, True, False, True, False)
        light.wish(FillLight.ON)
        await switch.comes_to(False, True, False, True, False, True)
    assert (switch.states[5:], switch.closed) == ([True, False], True)
