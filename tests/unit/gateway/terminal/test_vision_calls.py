"""What is seen in a picture: faces, ages, genders, features, scores."""

from typing import Any

import pytest
from PIL import Image

from gateway.terminal_api.looking import AT_ONCE, Room
from shared.codes import DeviceCode
from shared.contracts.recognition import NO_FACE, Box
from shared.errors import DeviceRefused, Unavailable
from shared.vision.feature import Feature
from tests.unit.gateway.baidu.vision_double import GOOD, MODEL, a_face, unit
from tests.unit.gateway.terminal.host_double import HostDouble
from tests.unit.gateway.terminal.posting import BOX, FEATURE, PHOTO, b64, look, picture, post


async def test_face_detect_as_printed(host: HostDouble) -> None:
    host.frames.faces = [
        a_face(Box(left=-3.2, top=10.4, width=100, height=120)),
        a_face(Box(left=200, top=100, width=200, height=200), GOOD.model_copy(update={"rotation": -88.0})),
    ]
    assert await look(host, "faceDetect") == {
        "flag": "facedetect",
        "code": 0,
        "faces": 2,
        "faceContent": [
            {"id": 0, "left": 0, "top": 10, "right": 97, "bottom": 130, "angle": 1},
            {"id": 1, "left": 200, "top": 100, "right": 320, "bottom": 240, "angle": 2},
        ],
    }
    [(_, max_faces, question)] = host.frames.asked
    assert (max_faces, question.turned, question.at) == (120, True, None)


async def test_age_gender_and_feature_as_printed(host: HostDouble) -> None:
    host.frames.faces = [a_face()]
    assert await look(host, "faceAge", **BOX) == {"flag": "faceage", "code": 0, "age": 31}
    assert await look(host, "faceGender", **BOX) == {"flag": "facegender", "code": 0, "gender": 1}
    packed = Feature(MODEL, unit(1)).packed()
    said = {"flag": "facefeature", "code": 0, "feature": b64(packed), "featureSize": len(packed)}
    assert await look(host, "faceFeature", **BOX) == said
    assert [question.at for _, _, question in host.frames.asked] == [Box(left=40, top=40, width=100, height=120)] * 3


@pytest.mark.parametrize(("gender", "number"), [("male", 0), ("female", 1), ("", -1)])
async def test_genders(host: HostDouble, gender: str, number: int) -> None:
    host.frames.faces = [a_face(measured=GOOD.model_copy(update={"gender": gender}))]
    assert (await look(host, "faceGender", **BOX))["gender"] == number


async def test_what_cannot_be_told_of_a_face_has_its_code(host: HostDouble) -> None:
    host.frames.faces = [a_face(measured=GOOD.model_copy(update={"age": None}), embedding=b"")]
    assert (await look(host, "faceAge", **BOX))["code"] == DeviceCode.AGE_FAILED
    assert (await look(host, "faceFeature", **BOX))["code"] == DeviceCode.FEATURE_FAILED


async def test_boxes_are_pixels_of_the_picture_that_was_sent(host: HostDouble) -> None:
    """A large picture is looked at in a smaller size; one that lies on its side stands upright."""
    exif = Image.Exif()
    exif[0x0112] = 6
    lying = picture(3840, 1920, exif=exif)  # stands 1920 wide and 3840 high, and is halved
    host.frames.faces = [a_face(Box(left=100, top=200, width=300, height=400))]
    files = {"image": ("a.jpg", lying)}
    seen = await post(host, "faceDetect", {"token": host.token()}, files=files)
    [face] = seen["faceContent"]
    assert [face[edge] for edge in ("left", "top", "right", "bottom")] == [200, 400, 800, 1200]
    box = {edge: str(face[edge]) for edge in ("left", "top", "right", "bottom")}
    assert (await post(host, "faceAge", {"token": host.token(), **box}, files=files))["code"] == 0
    assert host.frames.asked[-1][2].at == Box(left=100, top=200, width=300, height=400)


async def test_no_face_has_its_code(host: HostDouble) -> None:
    host.frames.faces, host.frames.problem = [], NO_FACE
    assert (await look(host, "faceDetect"))["code"] == DeviceCode.NO_FACE
    host.frames.faces = [a_face(Box(left=0, top=0, width=30, height=30))]
    beside = {"left": 100, "top": 100, "right": 200, "bottom": 200}
    assert (await look(host, "faceAge", **beside))["code"] == DeviceCode.NO_FACE


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({name: BOX[name] for name in ("left", "top")}, 9005),
        ({}, 9005),
        ({**BOX, "left": ""}, 9005),
        ({**BOX, "left": "a"}, 2),
        ({**BOX, "left": "-1"}, 2),
        ({**BOX, "left": "1.5"}, 2),
        ({**BOX, "right": "40"}, 2),
        ({**BOX, "bottom": "10"}, 2),
        ({**BOX, "bottom": "9" * 17}, 2),
        ({**BOX, "width": "10"}, 2),
        ({**BOX, "left": "40.0"}, 0),
    ],
)
async def test_boxes(host: HostDouble, fields: dict[str, str], code: int) -> None:
    host.frames.faces = [a_face()]
    assert (await look(host, "faceAge", **fields))["code"] == code


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", 9113),
        (PHOTO[:-200], 9113),
        (b"rubbish", 69640),
        (b"GIF89a" + b"\0" * 40, 69640),
        (picture(30, 300), 69641),
        (b"\0" * 10_000_001, 69642),
    ],
)
@pytest.mark.parametrize("as_file", [True, False])
async def test_pictures_that_cannot_be_used(host: HostDouble, data: bytes, code: int, as_file: bool) -> None:
    how: dict[str, Any] = {"files": {"image": ("a.jpg", data)}} if as_file else {}
    fields = {"token": host.token()} | ({} if as_file else {"image": b64(data)})
    expected = 9005 if not as_file and not data else code
    assert (await post(host, "faceDetect", fields, **how))["code"] == expected


async def test_a_picture_may_come_as_base64(host: HostDouble) -> None:
    for text in (b64(PHOTO), "data:image/jpeg;base64," + b64(PHOTO), b64(PHOTO)[:76] + "\r\n" + b64(PHOTO)[76:]):
        said = await post(host, "faceDetect", json={"token": host.token(), "image": text})
        assert said["code"] == 0
    assert (await post(host, "faceDetect", {"token": host.token(), "image": "no base64!"}))["code"] == 9113


async def test_the_score_of_two_features(host: HostDouble) -> None:
    fields = {"token": host.token(), "pending": FEATURE, "original": FEATURE}
    assert await post(host, "faceRecognize", fields) == {"flag": "facerecognize", "code": 0, "score": 1.0}
    stranger = b64(Feature(MODEL, unit(0, 1)).packed())
    fields = {"token": host.token(), "pending": FEATURE, "original": stranger}
    assert (await post(host, "faceRecognize", fields))["score"] == 0.0
    other = b64(Feature("another/1", unit(1)).packed())
    fields = {"token": host.token(), "pending": FEATURE, "original": other}
    assert (await post(host, "faceRecognize", fields))["code"] == 73733
    assert (await post(host, "faceRecognize", {**fields, "pending": "AAAA"}))["code"] == 73731
    assert (await post(host, "faceRecognize", {**fields, "pending": ""}))["code"] == 9005
    assert (await post(host, "faceRecognize", {**fields, "pending": "x" * 60_000}))["code"] == 73731


async def test_more_pictures_than_can_be_looked_at_are_told_to_wait() -> None:
    room = Room(2)
    with room.place(), room.place(), pytest.raises(DeviceRefused) as caught, room.place():
        pass
    assert caught.value.number == DeviceCode.PAUSE
    with room.place():
        pass


async def test_a_picture_gives_its_place_back_whatever_happens(host: HostDouble) -> None:
    for error in (Unavailable(), None):
        host.frames.error = error
        async with host.web() as web:
            for _ in range(AT_ONCE + 1):
                fields = {"token": host.token()}
                answer = await web.post("/faces/api/faceDetect", data=fields, files={"image": ("a.jpg", PHOTO)})
                assert answer.json()["code"] == (1 if error else 0)
