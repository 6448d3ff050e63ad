"""The message bus: `connect` opens it, `Bus` speaks contracts over it. Nothing else opens a NATS connection."""

from shared.bus.bus import Bus
from shared.bus.connection import BrokerUnreachable, connect

__all__ = ["BrokerUnreachable", "Bus", "connect"]
