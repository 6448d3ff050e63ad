"""Settings of the registry."""

from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field, SecretStr

from shared.security import Vault
from shared.settings import Settings


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("not an IANA time zone such as Asia/Shanghai") from None
    return name


def _usable_key(key: SecretStr) -> SecretStr:
    try:
        Vault(key.get_secret_value())
    except ValueError:
        raise ValueError("must be 64 hex characters (32 random bytes)") from None
    return key


class RegistrySettings(Settings):
    """`database`: `sqlite:///path` or `mysql://user:password@host:port/name` (the async drivers are added).

    `library_key` encrypts photos and embeddings; who loses it loses them.
    """

    database: SecretStr = SecretStr("sqlite+aiosqlite:///data/rollcall.db")
    library_key: Annotated[SecretStr, AfterValidator(_usable_key)]
    timezone: Annotated[str, AfterValidator(_known_zone)] = "Asia/Shanghai"
    """the school's, for "the punches of a day\""""
    debounce_s: float = Field(default=60.0, ge=0, le=86_400)
    """within this time of a punch at the same place, another sighting makes no second one, in seconds"""
