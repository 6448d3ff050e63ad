"""Challenges: ours, in time, answered with the right secret."""

import pytest

from device_hub.challenges import CHALLENGE_S, MOMENT_S, answer_to, answered, is_now, issue, proof_at, proves

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


def test_a_moment_is_now_within_half_a_minute() -> None:
    for second, right in (
        (0, True),
        (MOMENT_S, True),
        (-MOMENT_S, True),
        (MOMENT_S + 1, False),
        (-MOMENT_S - 1, False),
    ):
        assert is_now(str(int((NOW + second) * 1e3)), NOW) is right


@pytest.mark.parametrize("moment", ["", "-1", "1e12", " 1800000000000", "1800000000.000", "١٨٠٠٠٠٠٠٠٠٠٠٠", "9" * 200])
def test_what_is_no_moment(moment: str) -> None:
    assert not is_now(moment, NOW)


def test_a_proof_of_the_moment_is_of_one_secret_and_one_moment() -> None:
    moment = "1800000000000"
    proof = proof_at(DEVICE, moment)
    assert proves(DEVICE, moment, proof)
    assert proves(DEVICE, moment, proof.upper())
    assert not proves(DEVICE, "1800000000001", proof)
    assert not proves(b"another", moment, proof)
    assert not proves(b"", moment, proof_at(b"", moment))


def test_a_challenge_coaxes_no_proof_out_of_a_terminal() -> None:
    moment = "1800000000000"
    assert not proves(DEVICE, moment, answer_to(DEVICE, moment))
