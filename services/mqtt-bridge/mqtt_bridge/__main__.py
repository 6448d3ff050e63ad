"""`python -m mqtt_bridge`: settings from ROLLCALL_* variables, until a signal."""

from mqtt_bridge.service import service
from mqtt_bridge.settings import BridgeSettings
from shared.runtime import run

if __name__ == "__main__":
    run("mqtt-bridge", BridgeSettings, service)
