"""Broken bytes, thousands of them, always the same: a picture comes out or a PictureError, never anything else."""

import io
import random
import struct
import zlib
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from PIL import Image

from shared.vision.picture import FORMATS, Bounds, PictureError, decode, fit, inspect

# Pillow warns of nonsense in EXIF and goes on, as the service does.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")

Photos = dict[str, tuple[bytes, ...]]
Mutation = Callable[[random.Random, bytearray], bytearray]

ROUNDS = 300  # of each kind, which takes about 5 s in all; raise it by hand to look for more
SIDE = 64
# A broken header may claim any size. The tests would spend their time on filling memory.
SMALL = Bounds(max_pixels=250_000, min_side=8)
EXTREMES = (b"\0", b"\xff", b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x80\0\0\0", b"\0\1", b"\1\0")


def other_bytes(rng: random.Random, data: bytearray) -> bytearray:
    for _ in range(rng.choice((1, 2, 8, 64))):
        data[rng.randrange(len(data))] = rng.randrange(256)
    return data


def one_bit(rng: random.Random, data: bytearray) -> bytearray:
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return data


def broken_header(rng: random.Random, data: bytearray) -> bytearray:
    """Lengths, sizes and counts stand among the first bytes."""
    at, value = rng.randrange(min(len(data), 200)), rng.choice(EXTREMES)
    data[at : at + len(value)] = value
    return data


def cut_off(rng: random.Random, data: bytearray) -> bytearray:
    return data[: rng.randrange(len(data))]


def hole(rng: random.Random, data: bytearray) -> bytearray:
    start = rng.randrange(len(data))
    del data[start : start + rng.randrange(1, 64)]
    return data


def twice(rng: random.Random, data: bytearray) -> bytearray:
    start = rng.randrange(len(data))
    piece = data[start : start + rng.randrange(1, 256)]
    return data[:start] + piece + data[start:]


def noise_inside(rng: random.Random, data: bytearray) -> bytearray:
    start = rng.randrange(len(data))
    return data[:start] + rng.randbytes(rng.randrange(1, 64)) + data[start:]


MUTATIONS: tuple[Mutation, ...] = (other_bytes, one_bit, broken_header, cut_off, hole, twice, noise_inside)


def png_with_right_sums(data: bytes) -> bytes:
    """The checksums of PNG's chunks made right again: else every other broken PNG stops at the first of them."""
    out, position = bytearray(data[:8]), 8
    while position + 12 <= len(data):
        length = int.from_bytes(data[position : position + 4])
        body = data[position + 4 : position + 8 + length]
        out += struct.pack(">I", length) + body + struct.pack(">I", zlib.crc32(body))
        position += 12 + length
    return bytes(out + data[position:])


def mutants(data: bytes, seed: int) -> Iterator[bytes]:
    """ROUNDS broken versions, one to three mutations each."""
    for number in range(ROUNDS):
        rng = random.Random(seed * ROUNDS + number)
        mutant = bytearray(data)
        for _ in range(rng.choice((1, 1, 2, 3))):
            mutant = rng.choice(MUTATIONS)(rng, mutant) or bytearray(b"\0")
        yield png_with_right_sums(bytes(mutant)) if data.startswith(b"\x89PNG") and number % 2 else bytes(mutant)


def check(data: bytes) -> bool:
    """Whether a picture came out; anything but a picture or a PictureError fails the test."""
    try:
        info = inspect(data, SMALL)
        picture = decode(data, SMALL)
        assert decode(fit(data, bounds=SMALL), SMALL).shape[2] == 3
    except PictureError as error:
        assert error.zh and error.en
        return False
    assert picture.shape == (info.height, info.width, 3)
    assert picture.dtype == np.uint8
    return True


@pytest.fixture(scope="module")
def photo(photos: Photos) -> Image.Image:
    image = Image.open(io.BytesIO(photos["Jacinda Ardern"][0])).convert("RGB")
    image.thumbnail((SIDE, SIDE))
    return image


def encoded(image: Image.Image, format_: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, format_, **options)
    return out.getvalue()


def turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


KINDS: dict[str, tuple[str, dict[str, object], str]] = {
    "jpeg": ("JPEG", {"quality": 80}, "RGB"),
    "jpeg-turned": ("JPEG", {"exif": turned()}, "RGB"),
    "jpeg-progressive": ("JPEG", {"progressive": True}, "RGB"),
    "jpeg-cmyk": ("JPEG", {}, "CMYK"),
    "png": ("PNG", {}, "RGB"),
    "png-palette": ("PNG", {"transparency": 3}, "P"),
    "png-alpha": ("PNG", {"exif": turned()}, "RGBA"),
    "webp": ("WEBP", {"quality": 80}, "RGB"),
    "webp-lossless": ("WEBP", {"lossless": True}, "RGBA"),
    "bmp": ("BMP", {}, "RGB"),
    "bmp-palette": ("BMP", {}, "P"),
}


def test_every_format_is_tried() -> None:
    assert {format_ for format_, _, _ in KINDS.values()} == set(FORMATS)


@pytest.mark.parametrize("kind", KINDS)
def test_broken_bytes_give_a_picture_or_a_reason(photo: Image.Image, kind: str) -> None:
    format_, options, mode = KINDS[kind]
    whole = encoded(photo.convert(mode), format_, **options)
    assert check(whole)
    seed = list(KINDS).index(kind)
    usable = sum(check(mutant) for mutant in mutants(whole, seed))
    assert 0 < usable < ROUNDS  # neither all harmless nor all stopped at the door


def test_noise_behind_the_first_bytes_of_each_format() -> None:
    starts = (b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", b"BM", b"RIFF\x40\0\0\0WEBPVP8 ", b"GIF89a", b"")
    rng = random.Random(9)
    usable = [check(start + rng.randbytes(rng.randrange(300))) for start in starts for _ in range(ROUNDS // 10)]
    assert not any(usable)
