"""Terminals' tokens: what holds, and everything that must not."""

import pytest

from device_hub.tokens import BadToken, Claims, Expired, issue, read

SECRET = b"0123456789abcdef" * 2
NOW = 1_767_323_045.5
CLAIMS = Claims(7, int(NOW) + 900, b"\x0a\x0b\x0c\x0d")
TOKEN = issue(SECRET, CLAIMS)


def test_a_token_has_the_length_that_seed_004_prints() -> None:
    assert len(TOKEN) == len("1f3568b85a11dbc4ae0eddf2b6c88c237fbb2d37")


def test_the_golden_token() -> None:
    """Hubs of two versions must accept each other's tokens. The tag was computed with openssl dgst -hmac."""
    assert TOKEN == "00000007695739290a0b0c0d8ad512b6540c031e"


def test_it_says_whose_it_is_and_until_when() -> None:
    assert read(SECRET, TOKEN, NOW) == CLAIMS


def test_two_tokens_of_one_second_are_two() -> None:
    other = Claims(CLAIMS.device_id, CLAIMS.expires, b"\x0a\x0b\x0c\x0e")
    assert issue(SECRET, other) != TOKEN
    assert other.name != CLAIMS.name


def test_what_a_used_token_is_remembered_by_is_no_token() -> None:
    assert CLAIMS.name == TOKEN[:24]
    with pytest.raises(BadToken):
        read(SECRET, CLAIMS.name, NOW)


@pytest.mark.parametrize("later", [0.0, 899.0])
def test_it_holds_until_its_time_is_over(later: float) -> None:
    assert read(SECRET, TOKEN, NOW + later).device_id == 7


@pytest.mark.parametrize("later", [900.0, 1e9])
def test_then_it_is_over(later: float) -> None:
    with pytest.raises(Expired):
        read(SECRET, TOKEN, NOW + later)


@pytest.mark.parametrize("bit", range(160))
def test_no_bit_may_change(bit: int) -> None:
    altered = (int(TOKEN, 16) ^ (1 << bit)).to_bytes(20).hex()
    with pytest.raises(BadToken, match="not issued here"):
        read(SECRET, altered, NOW)


def test_another_secret_does_not_open() -> None:
    with pytest.raises(BadToken, match="not issued here"):
        read(SECRET[::-1], TOKEN, NOW)


@pytest.mark.parametrize(
    "rubbish",
    [
        "",
        "0",
        TOKEN[:-1],
        TOKEN + "0",
        TOKEN.upper() + "",
        " " + TOKEN[1:],
        "g" * 40,
        "０" * 40,
        TOKEN + "\n",
        "é" * 40,
    ],
)
def test_rubbish_is_no_token(rubbish: str) -> None:
    with pytest.raises(BadToken, match="not 40 hex"):
        read(SECRET, rubbish, NOW)


def test_the_error_does_not_quote_the_token() -> None:
    with pytest.raises(BadToken) as caught:
        read(b"other secret", TOKEN, NOW)
    assert TOKEN[:8] not in str(caught.value)


def test_the_largest_device_id_and_the_last_second() -> None:
    largest = 2**32 - 1
    claims = Claims(largest, largest, b"\xff" * 4)
    assert read(SECRET, issue(SECRET, claims), NOW) == claims
