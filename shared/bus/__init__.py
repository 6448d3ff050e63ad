"""The message bus: `connect` opens it, `Bus` speaks contracts over it."""

from shared.bus.bus import BrokerUnreachable, Bus, connect

__all__ = ["BrokerUnreachable", "Bus", "connect"]
