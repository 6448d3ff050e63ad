"""The hub's settings refuse what would only fail later."""

import pytest
from pydantic import SecretStr, ValidationError

from device_hub.settings import HubSettings

SECRET = SecretStr("0123456789abcdef" * 2)


def test_the_defaults() -> None:
    chosen = HubSettings(nats_password=SecretStr("x"), token_secret=SECRET)
    assert (chosen.host, chosen.port, chosen.token_ttl_s, chosen.heartbeat_s) == ("127.0.0.1", 8001, 900, 20)
    assert chosen.max_terminals == 18_000


@pytest.mark.parametrize("instance", ["a.b", "", "*", "门", "x" * 65, "a b"])
def test_the_hubs_id_must_be_an_address(instance: str) -> None:
    with pytest.raises(ValidationError):
        HubSettings(nats_password=SecretStr("x"), token_secret=SECRET, instance=instance)


def test_a_short_secret_is_refused_and_not_shown() -> None:
    with pytest.raises(ValidationError) as caught:
        HubSettings(nats_password=SecretStr("x"), token_secret=SecretStr("hunter2"))
    assert "hunter2" not in str(caught.value)
