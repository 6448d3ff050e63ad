"""What a challenge says at each step, and what its proof is worth."""

from hashlib import sha256

import pytest

from gateway.challenge import ASKED, SAID, challenge_message, make_proof, proof_holds, sentence
from shared.contracts.recognition import NO_FACE, Action, Challenge, Rest, Step
from shared.security import make_ticket

SECRET = "a secret of the tests, long enough to sign with"
PICTURE = b"\xff\xd8\xff the picture"
RUN_OUT = make_ticket(SECRET, f"challenge {sha256(PICTURE).hexdigest()}", -1)
ROW = (Action.TURN_LEFT, Action.OPEN_MOUTH, Action.NOD)
REST = Rest(yaw=0, pitch=0, eyes=0.25, mouth=0.05)


def test_every_action_and_every_end_has_words() -> None:
    assert set(ASKED) == set(Action)
    assert set(SAID) == set(Step) - {Step.ACTING}


def test_sides_are_those_of_the_person_not_of_the_picture() -> None:
    """Whoever turns to the own right turns to the left of an unmirrored picture."""
    assert "右" in ASKED[Action.TURN_LEFT][0]
    assert "right" in ASKED[Action.TURN_LEFT][1]


def test_one_action_at_a_time_is_asked_and_the_next_is_not_given_away() -> None:
    acting = Challenge(actions=ROW, step=Step.ACTING, done=1, rest=REST)
    message = challenge_message(acting, None)
    assert (message["ask"], message["zh"], message["done"], message["of"]) == ("open_mouth", "请张大嘴巴", 1, 3)
    assert message["limit_s"] == 8
    waiting = challenge_message(Challenge(actions=ROW, done=1, rest=REST), None)
    assert (waiting["ask"], waiting["step"], waiting["limit_s"]) == (None, "waiting", 10)
    assert not {"nod", "open_mouth", "turn_left"} & {str(value) for value in waiting.values()}


def test_between_two_actions_the_words_differ_from_the_beginning() -> None:
    assert sentence(Challenge(actions=ROW)) != sentence(Challenge(actions=ROW, done=1, rest=REST))


def test_a_problem_is_told_until_the_attempt_has_begun() -> None:
    assert challenge_message(Challenge(actions=ROW), NO_FACE)["problem"]["code"] == NO_FACE.code
    assert challenge_message(Challenge(actions=ROW, rest=REST), NO_FACE)["problem"] is None


def test_a_proof_is_of_these_bytes_and_this_installation() -> None:
    proof = make_proof(SECRET, PICTURE)
    assert proof_holds(SECRET, PICTURE, proof)
    assert not proof_holds(SECRET, PICTURE + b".", proof)
    assert not proof_holds("another secret", PICTURE, proof)
    assert not proof_holds(SECRET, PICTURE, make_proof(SECRET, b"another"))


@pytest.mark.parametrize(
    "proof",
    ["", "x", "9999999999.", "9999999999.AAAA", make_ticket(SECRET, "wall", 60), RUN_OUT],
    ids=["empty", "a letter", "a time", "a time and a few letters", "a ticket", "run out"],
)
def test_what_is_no_proof_proves_nothing(proof: str) -> None:
    assert not proof_holds(SECRET, PICTURE, proof)
