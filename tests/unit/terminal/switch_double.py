"""A switch that remembers what was done to it, for the latch, the lamp and the door."""

import asyncio
from collections.abc import Iterable

from shared.testing import eventually
from terminal.latch import SwitchError


class SwitchDouble:
    """`broken`: it does not answer. `faults`: what its driver raises at the next tries instead."""

    def __init__(self, broken: bool = False, faults: Iterable[Exception] = ()) -> None:
        self.broken = broken
        self.faults = iter(faults)
        self.turned: list[tuple[float, bool]] = []
        self.tries = 0
        self.closed = False

    async def turn(self, on: bool) -> None:
        self.tries += 1
        if fault := next(self.faults, None):
            raise fault
        if self.broken:
            raise SwitchError("the relay does not answer")
        self.turned.append((asyncio.get_running_loop().time(), on))

    async def close(self) -> None:
        self.closed = True

    @property
    def states(self) -> list[bool]:
        return [on for _, on in self.turned]

    async def comes_to(self, *states: bool) -> None:
        """Wait until it was turned so, from the beginning."""

        async def so_far() -> bool:
            return self.states == list(states)

        await eventually(so_far, 5, f"turned to {states}")
