"""The simulated camera: which photo when, and how it is framed."""

import io

import pytest
from PIL import Image

from terminal.simulator import BACKGROUND, NOBODY, SIZE, Photo, Show, empty_frame, letterbox


def jpeg(width: int, height: int, *, orientation: int = 1) -> bytes:
    out = io.BytesIO()
    picture = Image.new("RGB", (width, height), (250, 250, 250))
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture.save(out, "JPEG", exif=exif)
    return out.getvalue()


def framed(data: bytes) -> Image.Image:
    picture = Image.open(io.BytesIO(letterbox(data)))
    picture.load()
    return picture


def dark(picture: Image.Image, x: int, y: int) -> bool:
    pixel = picture.getpixel((x, y))
    assert isinstance(pixel, tuple)
    return all(abs(value - wanted) < 12 for value, wanted in zip(pixel, BACKGROUND, strict=True))


@pytest.mark.parametrize("size", [(640, 480), (100, 100), (2_000, 50), (30, 900)])
def test_every_photo_becomes_a_frame_of_the_same_size(size: tuple[int, int]) -> None:
    picture = framed(jpeg(*size))
    assert (picture.size, picture.mode, picture.format) == (SIZE, "RGB", "JPEG")
    assert not dark(picture, 320, 240)


def test_a_tall_photo_stands_between_two_bars() -> None:
    picture = framed(jpeg(240, 480))
    assert dark(picture, 20, 240)
    assert dark(picture, 620, 240)


def test_a_photo_taken_sideways_is_put_upright() -> None:
    picture = framed(jpeg(480, 240, orientation=6))
    assert dark(picture, 20, 240)
    assert not dark(picture, 320, 20)


def test_photos_take_turns_with_an_empty_doorway_between_them() -> None:
    show = Show([Photo("a", b"A"), Photo("b", b"B")], seconds_each=1.5, gap_s=0.5)
    assert [show.at(t).label for t in (0, 1.4, 1.6, 2.0, 3.4, 3.6, 4.0, 99.0)] == ["a", "a", "", "b", "b", "", "", ""]
    assert show.at(0).jpeg == b"A"
    assert show.at(1.6).jpeg == empty_frame()
    assert show.length == 4.0


def test_a_show_without_photos_is_over_at_once() -> None:
    show = Show([])
    assert show.length == 0
    assert show.at(0).label == NOBODY
