"""What a process's connections to the broker are doing, for its operators."""

from collections.abc import Mapping, Sequence

from shared.bus.bus import Bus
from shared.metrics import UNKNOWN, WORK_S, Metrics


def watch_bus(metrics: Metrics, events: Bus, frames: Bus | None = None, consumers: Sequence[str] = ()) -> None:
    """Tell of the connections, of the commands that are answered on `events`, and of the durable `consumers` that this
    process reads, by name."""
    buses: Mapping[str, Bus] = {"events": events} | ({"frames": frames} if frames else {})
    metrics.read_by(
        "rollcall_broker_connected",
        "1 while the connection to the broker stands",
        "connection",
        lambda: {name: float(bus.is_connected) for name, bus in buses.items()},
    )
    metrics.read_totals_by(
        "rollcall_broker_reconnects",
        "How often the broker was found again",
        "connection",
        lambda: {name: bus.reconnects for name, bus in buses.items()},
    )
    metrics.read_by(
        "rollcall_broker_unheard_messages",
        "Messages that came and wait for their handlers",
        "connection",
        lambda: {name: bus.unheard for name, bus in buses.items()},
    )
    metrics.read_totals_by(
        "rollcall_broker_overflowed_messages",
        "Messages dropped because their handlers were too slow",
        "connection",
        lambda: {name: bus.overflowed for name, bus in buses.items()},
    )
    _count_commands(metrics, events)
    if consumers:
        _ask_depths(metrics, events, consumers)


def _count_commands(metrics: Metrics, events: Bus) -> None:
    answered = metrics.counter("rollcall_commands", "Commands of other services, answered", "command", "outcome")
    seconds = metrics.histogram("rollcall_command_seconds", "From a command to its answer", "command", bounds=WORK_S)

    def count(subject: str, outcome: str, took: float) -> None:
        answered.labels(subject, outcome).inc()
        seconds.labels(subject).observe(took)

    events.answered = count


def _ask_depths(metrics: Metrics, events: Bus, consumers: Sequence[str]) -> None:
    waiting = metrics.gauge(
        "rollcall_consumer_waiting_messages", "Messages not handed out yet, of a durable consumer", "consumer"
    )
    in_work = metrics.gauge(
        "rollcall_consumer_unacknowledged_messages", "Messages handed out and not acknowledged yet", "consumer"
    )

    async def ask() -> None:
        depths: Mapping[str, tuple[float, float]] = {}
        try:
            depths = await events.depths()
        finally:  # only now: somebody else may read the numbers meanwhile
            for name in consumers:
                not_out, out = depths.get(name, (UNKNOWN, UNKNOWN))
                waiting.labels(name).set(not_out)
                in_work.labels(name).set(out)

    metrics.ask(ask)
