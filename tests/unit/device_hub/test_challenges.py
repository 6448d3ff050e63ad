"""Challenges: ours, in time, answered with the right secret."""

import pytest

from device_hub.challenges import CHALLENGE_S, answer_to, answered, issue

HUB, DEVICE = b"hub secret", b"0123456789abcdef"
NOW = 1_800_000_000.0


def test_the_right_answer_in_time() -> None:
    challenge = issue(HUB, NOW)
    assert answered(HUB, DEVICE, challenge, answer_to(DEVICE, challenge), NOW + CHALLENGE_S - 1)
    assert answered(HUB, DEVICE, challenge, answer_to(DEVICE, challenge).upper(), NOW)


def test_too_late_or_with_another_secret() -> None:
    challenge = issue(HUB, NOW)
    right = answer_to(DEVICE, challenge)
    assert not answered(HUB, DEVICE, challenge, right, NOW + CHALLENGE_S)
    assert not answered(b"another hub", DEVICE, challenge, right, NOW)
    assert not answered(HUB, b"another", challenge, right, NOW)
    assert not answered(HUB, b"", challenge, answer_to(b"", challenge), NOW)


@pytest.mark.parametrize("challenge", ["", "00", "zz", "0" * 56, "é" * 56])
def test_a_challenge_that_is_not_ours(challenge: str) -> None:
    assert not answered(HUB, DEVICE, challenge, answer_to(DEVICE, challenge), NOW)


def test_an_altered_challenge() -> None:
    challenge = issue(HUB, NOW)
    longer = "ff" + challenge[2:]
    assert not answered(HUB, DEVICE, longer, answer_to(DEVICE, longer), NOW)


def test_no_two_are_alike() -> None:
    assert len({issue(HUB, NOW) for _ in range(100)}) == 100
