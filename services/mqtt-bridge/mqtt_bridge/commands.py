"""Commands of third parties: read, bounded, handed to the terminal's hub, answered."""

import time

import structlog

from mqtt_bridge import topics
from mqtt_bridge.payloads import Wrong, order, result
from mqtt_bridge.terminals import Terminals
from shared.bus import Bus
from shared.bus.terminals import order as hand_over
from shared.contracts.terminals import OrderOutcome
from shared.errors import Gone, RollcallError

RATE = 5.0
"""commands a second of one client"""
BURST = 10.0
MOST = 64
"""commands in work at once, of all clients"""

log = structlog.get_logger("commands")


class CommandDesk:
    """Never queues: a terminal that is not connected is said to be offline at once."""

    def __init__(self, bus: Bus, terminals: Terminals) -> None:
        self._bus, self._terminals = bus, terminals
        self._allowances: dict[str, tuple[float, float]] = {}
        self._working = 0

    def refusal(self, client: str) -> OrderOutcome | None:
        """Why a client's next command is not even read; None: it is its turn."""
        at = time.monotonic()
        left, since = self._allowances.get(client, (BURST, at))
        left = min(BURST, left + (at - since) * RATE)
        if left < 1 or self._working >= MOST:
            self._allowances[client] = (left, at)
            return OrderOutcome(ok=False, error="too_many", detail=f"at most {RATE:.0f} commands a second")
        self._allowances[client] = (left - 1, at)
        return None

    async def carry_out(self, asked: topics.Asked, payload: bytes) -> bytes:
        """The answer to a command, as JSON."""
        try:
            said, wish = order(asked, payload)
        except Wrong as error:
            return result("", OrderOutcome(ok=False, error="invalid", detail=str(error)))
        if self._terminals.get(asked.device_id) is None:
            return result(said, OrderOutcome(ok=False, error="unknown", detail="there is no such terminal"))
        self._working += 1
        try:
            outcome = await hand_over(self._bus, wish)
        except Gone as error:
            outcome = OrderOutcome(ok=False, error="offline", detail=error.en)
        except RollcallError as error:
            outcome = OrderOutcome(ok=False, error=error.code, detail=error.en[:256])
        finally:
            self._working -= 1
        log.info("command", device=asked.device_id, what=asked.what, by=asked.client, ok=outcome.ok)
        return result(said, outcome)
