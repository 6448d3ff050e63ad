"""`python -m device_hub`: settings from ROLLCALL_* variables, until a signal."""

from device_hub.service import service
from device_hub.settings import HubSettings
from shared.runtime import run

if __name__ == "__main__":
    run("device-hub", HubSettings, service)
