"""Settings of the device-hub."""

from pydantic import Field, SecretStr, field_validator

from shared.bus.topology import TOKEN_LIFE_S
from shared.contracts.base import ContractError, token
from shared.settings import Settings


class HubSettings(Settings):
    """`instance` is the hub's id: the address that pushes are sent to, so it must be one token of a subject."""

    host: str = "127.0.0.1"
    port: int = 8001
    share_port: bool = False
    """other hub processes of this machine listen on the same address: each has a `health_port` of its own"""
    token_secret: SecretStr = Field(min_length=32)
    """signs terminals' tokens; every hub of an installation shares it"""
    token_ttl_s: int = Field(default=900, ge=10, le=TOKEN_LIFE_S)
    heartbeat_s: float = Field(default=20, gt=0)
    """how often each terminal is sent a WebSocket ping, in seconds; silent for two and a half times that, it is gone"""
    look_back_after_s: float = Field(default=60, ge=0)
    """how long after its start it looks for what a killed hub of its name said of terminals, in seconds: to read 65,536
    entries takes a second or two, and just then the fleet comes back"""
    max_terminals: int = Field(default=18_000, ge=1)
    """connections held by this process; two thousand files below the usual hard limit of 20,000"""

    @field_validator("instance")
    @classmethod
    def _addressable(cls, instance: str) -> str:
        try:
            return token(instance)
        except ContractError:
            raise ValueError("letters, digits, - and _ only, at most 64") from None
