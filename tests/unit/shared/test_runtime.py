"""Background jobs end when their service does."""

import asyncio

import pytest

from shared.runtime import background


async def test_a_job_that_loses_its_first_cancellation_ends_all_the_same() -> None:
    """As `asyncio.wait_for` of Python 3.11 does when the answer comes at the same moment."""
    lost = asyncio.Event()

    async def unlucky() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            lost.set()
        await asyncio.Event().wait()

    async with asyncio.timeout(20):
        async with background(unlucky()):
            await asyncio.sleep(0)
    assert lost.is_set()


async def test_a_job_that_dies_ends_the_service() -> None:
    async def dies() -> None:
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        async with background(dies(), asyncio.Event().wait()):
            await asyncio.Event().wait()
