"""Who is sent away from a full door."""

from dataclasses import dataclass

import pytest

from device_hub.strangers import AT_ONCE, SILENCE_S, neighbourhood, to_send_away

NOW = 100.0


@dataclass(frozen=True)
class Caller:
    """A connection at the door."""

    address: str
    owes_since: float


def test_the_longest_silent_of_the_fullest_address_goes_first() -> None:
    crowd = [Caller("10.0.0.1", NOW - SILENCE_S - n) for n in range(3)]
    older = Caller("10.0.0.2", NOW - 40)
    assert to_send_away([older, *crowd], NOW) == [*reversed(crowd), older]


def test_who_is_merely_in_line_stays_however_many_share_an_address() -> None:
    answered = [Caller("10.0.0.1", NOW - SILENCE_S + 0.001 * (n + 1)) for n in range(400)]
    waits_for_us = [Caller(f"10.0.1.{n}", 0.0) for n in range(100)]
    assert to_send_away([*answered, *waits_for_us], NOW) == []


def test_only_so_many_at_once() -> None:
    assert len(to_send_away([Caller("10.0.0.1", n / 10) for n in range(1, 500)], NOW)) == AT_ONCE


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("10.0.0.1", "10.0.0.2", False),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("fe80::1%eth0", "fe80::2%eth0", True),
        ("", "10.0.0.1", False),
    ],
)
def test_an_ipv6_host_owns_its_network(one: str, other: str, same: bool) -> None:
    assert (neighbourhood(one) == neighbourhood(other)) is same
