"""The small parts: words, buckets, origins, sessions, pictures."""

import re
from pathlib import Path

import pytest
from starlette.requests import HTTPConnection

from gateway import words as words_module
from gateway.headers import content_policy
from gateway.origin import is_same_origin
from gateway.throttle import Rate, Throttle, TooFast, bucket_of
from gateway.words import choose_language, load_words
from shared.contracts.device_log import DEEDS

GATEWAY = Path(words_module.__file__).parent


def test_both_languages_say_the_same_things() -> None:
    chinese, english = load_words()["zh"], load_words()["en"]
    assert chinese.table.keys() == english.table.keys()
    for key, text in chinese.table.items():
        places = re.findall(r"\{(\w+)\}", text)
        assert sorted(places) == sorted(re.findall(r"\{(\w+)\}", english.table[key])), key


def test_every_text_that_is_asked_for_exists() -> None:
    table = load_words()["zh"].table
    for source in [*GATEWAY.rglob("templates/*.html"), *GATEWAY.rglob("*.py")]:
        for key in re.findall(r"""\b(?:t|words)\(["'](\w+(?:\.\w+)?)["'][,)]""", source.read_text("utf-8")):
            assert key in table, f"{source.name}: {key}"
    for source in GATEWAY.rglob("static/js/*.js"):
        for key in re.findall(r"""\bsay\(["'](\w+)["']""", source.read_text("utf-8")):
            assert f"script.{key}" in table, f"{source.name}: {key}"


@pytest.mark.parametrize("lang", ["zh", "en"])
def test_all_that_the_registry_writes_of_a_terminal_has_a_word(lang: str) -> None:
    table = load_words()[lang].table
    assert {"added", "punches lost", "open_door"} < set(DEEDS)
    assert [deed for deed in DEEDS if f"devices.done_{deed.replace(' ', '_')}" not in table] == []


@pytest.mark.parametrize(
    ("asked", "remembered", "accepted", "spoken"),
    [
        (None, None, "", "zh"),
        (None, None, "zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        (None, None, "en-US,en;q=0.9", "en"),
        (None, None, "en;q=0.5,zh;q=0.9", "zh"),
        (None, None, "fr,en;q=0.3", "en"),
        (None, None, "fr-FR", "zh"),
        (None, None, "zh;q=0,en;q=0.1", "en"),
        (None, None, "en;q=x,;;,,=", "zh"),
        (None, "en", "zh-CN", "en"),
        ("zh", "en", "en", "zh"),
        ("xx", "yy", "en", "en"),
    ],
)
def test_which_language_is_spoken(asked: str | None, remembered: str | None, accepted: str, spoken: str) -> None:
    assert choose_language(asked, remembered, accepted) == spoken


def test_a_bucket_empties_and_fills_again() -> None:
    at = [0.0]
    throttle = Throttle(Rate(burst=2, per_second=0.5), clock=lambda: at[0])
    throttle.take("192.0.2.1")
    throttle.take("192.0.2.1")
    with pytest.raises(TooFast) as told:
        throttle.take("192.0.2.1")
    assert told.value.number == 2
    throttle.take("192.0.2.2")
    at[0] = 2.0
    throttle.take("192.0.2.1")
    with pytest.raises(TooFast):
        throttle.take("192.0.2.1")


def test_buckets_are_bounded() -> None:
    throttle = Throttle(Rate(burst=1, per_second=1), remembered=100)
    for number in range(1_000):
        throttle.take(f"client {number}")
    assert len(throttle) == 100


def test_an_ipv6_network_is_one_client() -> None:
    assert bucket_of("2001:db8::1") == bucket_of("2001:db8::ffff:2")
    assert bucket_of("2001:db8::1") != bucket_of("2001:db8:0:1::1")
    assert bucket_of("::ffff:192.0.2.1") != bucket_of("::ffff:192.0.2.2")
    assert bucket_of("") == ""


@pytest.mark.parametrize(
    ("headers", "same"),
    [
        ({}, True),
        ({"sec-fetch-site": "same-origin"}, True),
        ({"sec-fetch-site": "none"}, True),
        ({"sec-fetch-site": "same-site"}, False),
        ({"sec-fetch-site": "cross-site"}, False),
        ({"origin": "http://school.example:8000"}, True),
        ({"origin": "https://SCHOOL.example:8000"}, True),
        ({"origin": "http://school.example"}, False),
        ({"origin": "null"}, False),
        ({"origin": "http://school.example:8000.evil.example"}, False),
    ],
)
def test_where_a_request_comes_from(headers: dict[str, str], same: bool) -> None:
    lines = [(b"host", b"school.example:8000"), *((k.encode(), v.encode()) for k, v in headers.items())]
    assert is_same_origin(HTTPConnection({"type": "http", "headers": lines})) is same


@pytest.mark.parametrize("host", ["localhost:8000", "192.0.2.1", "[2001:db8::1]:8000", "school.example"])
def test_hosts_that_may_stand_in_a_policy(host: str) -> None:
    assert f"ws://{host} wss://{host};" in content_policy(host)


@pytest.mark.parametrize("host", ["", "a b", "a;b", "a'", "*", "http://x", "[::1"])
def test_and_those_that_may_not(host: str) -> None:
    assert "ws:" not in content_policy(host)
