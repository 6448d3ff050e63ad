"""Few pictures are decoded at a time, however many wait."""

import asyncio
import threading

from gateway.decoding import Decoding


async def test_only_so_many_are_decoded_at_once_and_all_are_in_the_end() -> None:
    decoding, both, lock = Decoding(at_once=2), threading.Barrier(2, timeout=10), threading.Lock()
    busy, busiest = 0, 0

    def decode(number: int) -> int:
        nonlocal busy, busiest
        with lock:
            busy += 1
            busiest = max(busiest, busy)
        both.wait()  # two are in here together
        with lock:
            busy -= 1
        return number

    assert await asyncio.gather(*(decoding.run(decode, number) for number in range(8))) == list(range(8))
    assert busiest == 2
