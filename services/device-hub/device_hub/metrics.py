"""What operators are told of a hub: terminals, handshakes, pushes, orders."""

from collections.abc import Callable
from typing import Final, get_args

from device_hub.app import Handshake
from device_hub.commands import Ordered
from device_hub.hub import Hub
from device_hub.presence import Lease, PresenceKeeper
from shared.bus import Bus
from shared.bus.metrics import watch_bus
from shared.metrics import WAIT_S, WORK_S, Metrics

HANDSHAKES: Final[tuple[Handshake, ...]] = get_args(Handshake)
ORDERED: Final[tuple[Ordered, ...]] = get_args(Ordered)


class Tally:
    """Counts what terminals and their hub do."""

    def __init__(self, metrics: Metrics) -> None:
        handshakes = metrics.counter("rollcall_handshakes", "Terminals that asked to be let in", "outcome")
        self._handshakes = {each: handshakes.labels(each).inc for each in HANDSHAKES}
        orders = metrics.counter("rollcall_orders", "Orders to terminals, by what came of them", "outcome")
        self._orders: dict[Ordered, Callable[[], None]] = {each: orders.labels(each).inc for each in ORDERED}
        self._order_seconds = metrics.histogram(
            "rollcall_order_seconds", "From an order at the hub to its terminal's answer", bounds=WAIT_S
        ).observe
        pushes = metrics.counter("rollcall_pushes", "News for terminals", "outcome")
        self.pushed = {True: pushes.labels("taken").inc, False: pushes.labels("offline").inc}
        self.sent = metrics.histogram(
            "rollcall_push_seconds", "From an outbox's first message to its last one's way out", bounds=WORK_S
        ).observe

    def handshake(self, outcome: Handshake) -> None:
        """A terminal was let in, or not."""
        self._handshakes[outcome]()

    def order(self, outcome: Ordered, seconds: float) -> None:
        """An order is over."""
        self._orders[outcome]()
        self._order_seconds(seconds)


def watch_hub(metrics: Metrics, bus: Bus, hub: Hub, presence: PresenceKeeper, lease: Lease) -> None:
    """Tell of connections and terminals for as long as the hub runs."""
    watch_bus(metrics, bus)
    metrics.read("rollcall_terminals", "Terminals that are welcome and connected", lambda: len(hub))
    metrics.read("rollcall_terminal_outbox_messages", "Messages that wait to be sent to terminals", hub.waiting)
    metrics.read_total(
        "rollcall_terminal_dropped_messages", "News dropped because terminals did not read", lambda: hub.dropped
    )
    metrics.read("rollcall_presence_unsaid", "Terminals whose coming or going was not told yet", presence.unsaid)
    metrics.read("rollcall_lease_age_seconds", "Since the hub's lease was renewed", lease.age_s)
