"""Settings of the MQTT bridge."""

from pathlib import Path

from pydantic import Field, SecretStr

from shared.settings import Settings


class BridgeSettings(Settings):
    """Where the MQTT listener is, and what third parties may learn."""

    mqtt_host: str = "127.0.0.1"
    mqtt_port: int = 1883
    mqtt_password: SecretStr
    mqtt_ca: Path | None = None
    """the certificate that the listener shows, or its issuer's; None: no TLS"""
    mqtt_names: bool = True
    """whether punches carry the student's name beside the number"""
    mqtt_discovery: str = Field(default="homeassistant", pattern=r"^[a-z0-9_-]{1,32}$")
    """the prefix under which Home Assistant looks for devices"""
    mqtt_home_assistant: str = Field(default="", pattern=r"^[a-z0-9_-]{0,24}$")
    """the client that is a Home Assistant; empty: there is none, and nothing is announced"""
    mqtt_home_assistant_commands: bool = False
    """it may open doors, so it is shown a button for each"""
