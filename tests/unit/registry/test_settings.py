"""Wrong settings are named before anything starts; secrets are not shown."""

import pytest
from pydantic import ValidationError

from registry.settings import RegistrySettings
from registry.store.database import DatabaseUnusable, database_url

GOOD = {"nats_password": "x", "library_key": "ab" * 32}


def test_the_defaults_work_on_a_laptop() -> None:
    settings = RegistrySettings.model_validate(GOOD)
    assert settings.database.get_secret_value() == "sqlite+aiosqlite:///data/rollcall.db"
    assert (settings.timezone, settings.debounce_s) == ("Asia/Shanghai", 60.0)


@pytest.mark.parametrize(
    ("name", "value"),
    [("timezone", "Mars/Olympus"), ("timezone", "../etc/passwd"), ("library_key", "abc"), ("debounce_s", -1)],
)
def test_a_wrong_setting_is_named_and_not_shown(name: str, value: object) -> None:
    with pytest.raises(ValidationError) as caught:
        RegistrySettings.model_validate({**GOOD, name: value})
    assert name in str(caught.value) and str(value) not in str(caught.value).replace(name, "")


@pytest.mark.parametrize(
    ("given", "driver"),
    [
        ("sqlite:///data/x.db", "sqlite+aiosqlite"),
        ("mysql://u:p@h/d", "mysql+aiomysql"),
        ("mysql+aiomysql://u:p@h/d", "mysql+aiomysql"),
        ("mysql+pymysql://u:p@h/d", "mysql+aiomysql"),
        ("mariadb://u:p@h/d?charset=latin1", "mysql+aiomysql"),
    ],
)
def test_plain_urls_get_their_driver(given: str, driver: str) -> None:
    url = database_url(given)
    assert url.drivername == driver
    assert driver.startswith("sqlite") or url.query["charset"] == "utf8mb4"


def test_other_databases_are_refused() -> None:
    with pytest.raises(DatabaseUnusable):
        database_url("oracle://u:p@h/d")
