"""Pushes to terminals: a broker that cannot say where a terminal is costs that push, and nothing else."""

from typing import Any

import pytest
from nats.errors import ConnectionClosedError, NoRespondersError
from nats.errors import Error as NatsError
from nats.errors import TimeoutError as NatsTimeout
from nats.js.errors import BucketNotFoundError

from gateway.reporting import Terminals


class NoPresence:
    """A bus whose bucket does not answer; the rest of it is not there."""

    def __init__(self, error: NatsError) -> None:
        self._error, self.js = error, self

    async def key_value(self, name: str) -> Any:
        return self

    async def get(self, key: str) -> Any:
        raise self._error


@pytest.mark.parametrize(
    "error", [NoRespondersError(), ConnectionClosedError(), NatsTimeout(), BucketNotFoundError()], ids=repr
)
async def test_a_terminal_that_nobody_can_find_is_pushed_nothing(error: NatsError) -> None:
    await Terminals(NoPresence(error)).push(7, {"type": "result"})  # type: ignore[arg-type]
