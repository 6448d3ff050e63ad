"""The controls' limits are those of the vision engine."""

from gateway.baidu_api.controls import LIVENESS, ORDER, SPOOFING, failure
from gateway.baidu_api.parameters import Controls, Level
from shared.codes import FACE_TEXTS, FaceCode
from shared.vision import liveness
from shared.vision.limits import LEVELS, WORDS
from tests.unit.gateway.baidu.vision_double import GOOD


def test_one_truth() -> None:
    assert {level.value: limit for level, limit in LIVENESS.items()} == liveness.LEVELS
    assert LEVELS.keys() == {level.value for level in Level} - {"NONE"}
    assert sorted(SPOOFING.values()) == sorted(LIVENESS.values())
    assert {code for code, _, _ in WORDS.values()} - {FaceCode.FACE_TOO_SMALL} <= set(ORDER)


def test_every_code_has_words() -> None:
    assert set(FACE_TEXTS) == set(FaceCode)


def test_a_good_face_passes_everything() -> None:
    alive = GOOD.model_copy(update={"illumination": 130, "blur": 0.2, "yaw": 30, "pitch": -30, "liveness": 0.9})
    assert failure(alive, Controls(Level.HIGH, Level.HIGH, Level.LOW)) is None
    assert failure(alive.model_copy(update={"liveness": 0.899}), Controls(spoofing=Level.LOW)) is FaceCode.SPOOFING
