"""Bounds for pictures from strangers, checked before anything is decoded; and an upload made small for the bus.

Only Pillow is needed here, and numpy and OpenCV only by `decode`, so that a gateway starts without them.

    PictureError
    ├── EmptyPicture, TooManyBytes, TooManyPixels, PictureTooSmall     the bounds
    ├── NotAPicture, UnsupportedFormat, AnimatedPicture                something else than one photo
    └── DamagedPicture                                                 cut off on the way, or broken
"""

import io
import re
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

from PIL import Image

from shared.errors import InvalidInput

if TYPE_CHECKING:
    from shared.vision.runtime import Pixels

MAX_BYTES: Final = 10_000_000  # Baidu V3: total size below 10 MB (specs §2.5)
MAX_PIXELS: Final = 25_000_000  # a 24-megapixel camera passes; decoded that is 75 MB
MIN_SIDE: Final = 40  # below this no face can have the 64 pixels that recognition needs, nor half of them

MAX_SENT_SIDE, MAX_SENT_BYTES = 1920, 1_500_000  # what `fit` makes of it for the bus

FORMATS: Final = ("JPEG", "PNG", "BMP", "WEBP")
# First bytes of what people try to upload as well, so that they can be told what it is.
OTHERS: Final = (
    ("GIF", re.compile(rb"GIF8")),
    ("HEIC", re.compile(rb"....ftyp(?:hei|hev|mif|msf)", re.DOTALL)),
    ("AVIF", re.compile(rb"....ftypavi", re.DOTALL)),
    ("TIFF", re.compile(rb"II\*\0|MM\0\*")),
    ("PDF", re.compile(rb"%PDF")),
)
ORIENTATION_TAG: Final = 0x0112
# What to do with the stored picture so that it stands upright, by EXIF orientation (CIPA DC-008, tag 274).
UPRIGHT: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# Everything a hostile or broken file has been seen to raise inside Pillow.
BROKEN: Final = (OSError, SyntaxError, ValueError, TypeError, IndexError, KeyError, EOFError, struct.error)


class PictureError(InvalidInput):
    """The picture cannot be used. `number` is the Baidu error code for it (specs §5.3)."""

    code = "picture"
    baidu: ClassVar[int] = 222203

    def __init__(self, zh: str, en: str, *, field: str = "", number: int = 0) -> None:
        super().__init__(zh, en, field=field, number=number or self.baidu)


class EmptyPicture(PictureError):
    code = "picture_empty"


class TooManyBytes(PictureError):
    code = "picture_bytes"
    baidu = 222304


class TooManyPixels(PictureError):
    code = "picture_pixels"
    baidu = 222304


class PictureTooSmall(PictureError):
    code = "picture_small"
    baidu = 222309


class NotAPicture(PictureError):
    code = "picture_none"


class UnsupportedFormat(PictureError):
    code = "picture_format"


class AnimatedPicture(PictureError):
    code = "picture_animated"


class DamagedPicture(PictureError):
    code = "picture_damaged"


@dataclass(frozen=True, slots=True)
class Bounds:
    """What is accepted: bytes, pixels of the whole picture, pixels of its shorter side."""

    max_bytes: int = MAX_BYTES
    max_pixels: int = MAX_PIXELS
    min_side: int = MIN_SIDE


@dataclass(frozen=True, slots=True)
class PictureInfo:
    """What the header says. Width and height are as people see it, that is with `orientation` (1–8) applied."""

    format: str
    width: int
    height: int
    orientation: int
    mode: str
    """Pillow's name of the pixel type as stored: RGB, L, CMYK, RGBA, P, I;16 …"""
    is_plain: bool
    """a baseline JPEG in colour or grey, without EXIF"""


def inspect(data: bytes, bounds: Bounds = Bounds()) -> PictureInfo:
    """Reads the header only and refuses what is out of bounds. Raises a PictureError."""
    return _info(_open(data, bounds), bounds)


def decode(data: bytes, bounds: Bounds = Bounds()) -> "Pixels":
    """The picture upright as H×W×3 BGR bytes, transparency over white. Raises a PictureError."""
    from shared.vision.decoding import decode_image

    image = _open(data, bounds)
    return decode_image(data, image, _info(image, bounds))


def _open(data: bytes, bounds: Bounds) -> Image.Image:
    if not data:
        raise EmptyPicture("没有收到照片", "The picture is empty")
    if len(data) > bounds.max_bytes:
        raise TooManyBytes(
            f"照片太大（{len(data) / 1e6:.1f} MB），请不要超过 {bounds.max_bytes / 1e6:g} MB",
            f"The picture is too large ({len(data) / 1e6:.1f} MB); the limit is {bounds.max_bytes / 1e6:g} MB",
        )
    try:
        return Image.open(io.BytesIO(data), formats=FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        # Pillow's own bound is above ours, so ours is broken too.
        raise _too_many_pixels(bounds) from None
    except BROKEN:
        raise _not_ours(data) from None


def _too_many_pixels(bounds: Bounds) -> TooManyPixels:
    millions = f"{bounds.max_pixels / 1e6:g}"
    return TooManyPixels(
        f"照片像素太多，请不要超过 {int(bounds.max_pixels / 1e4)} 万像素",
        f"The picture has too many pixels; the limit is {millions} megapixels",
    )


def _not_ours(data: bytes) -> PictureError:
    for name, start in OTHERS:
        if start.match(data):
            return UnsupportedFormat(
                f"不支持 {name} 格式，请使用 JPEG、PNG、BMP 或 WebP 照片",
                f"{name} files are not supported; use a JPEG, PNG, BMP or WebP photo",
            )
    return NotAPicture("这不是一张照片", "This is not a picture")


def _info(image: Image.Image, bounds: Bounds) -> PictureInfo:
    width, height = image.size
    if width * height > bounds.max_pixels:
        raise _too_many_pixels(bounds)
    if min(width, height) < bounds.min_side:
        raise PictureTooSmall(
            f"照片太小（{width}×{height}），每边至少 {bounds.min_side} 像素",
            f"The picture is too small ({width}×{height}); each side needs {bounds.min_side} pixels",
        )
    # MPO is what phones write for a JPEG with a second picture behind it; the first one is the photo.
    format_ = "JPEG" if image.format == "MPO" else str(image.format)
    if format_ != "JPEG" and getattr(image, "is_animated", False):
        raise AnimatedPicture("请使用静态照片，不要使用动图", "Use a still photo, not an animation")
    orientation = _orientation(image)
    if orientation >= 5:
        width, height = height, width
    return PictureInfo(format_, width, height, orientation, image.mode, _is_plain(image))


def _orientation(image: Image.Image) -> int:
    """EXIF orientation, 1 where there is none or it makes no sense."""
    raw = image.info.get("exif")
    if not raw:
        return 1
    exif = Image.Exif()
    try:
        exif.load(raw)
        value = exif.get(ORIENTATION_TAG, 1)
    except BROKEN:
        return 1
    return value if value in UPRIGHT else 1


# A marker is FF and a code; FF 00 is a data byte, FF D0–D7 are restarts inside coded data, FF FF is filling.
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9


def is_whole_jpeg(data: bytes) -> bool:
    """True if the marker that ends the picture is there (ITU T.81 annex B).

    Decoders fill what is missing with grey and say nothing. The end marker alone proves nothing (a thumbnail inside
    has one too), so the segments are stepped over by their lengths; only coded data, which has none, is searched.
    Not noticed: bytes lost in the middle.
    """
    position, scanned = 2, False
    while found := _MARKER.search(data, position):
        marker = data[found.end() - 1]
        if marker == _END_OF_IMAGE:
            return scanned
        scanned = scanned or marker == _START_OF_SCAN
        position = found.end() + int.from_bytes(data[found.end() : found.end() + 2])
    return False


def load(data: bytes, image: Image.Image, info: PictureInfo) -> None:
    """Decodes all of it, in place. Raises DamagedPicture."""
    try:
        whole = info.format != "JPEG" or is_whole_jpeg(data)
        image.load()
    except (*BROKEN, Image.DecompressionBombError):
        whole = False
    if not whole:
        raise DamagedPicture("照片不完整或已损坏，请重新拍照", "The picture is incomplete or damaged; take it again")


def flattened(image: Image.Image) -> Image.Image:
    """As RGB or L: transparency over white, 16 bits brought to 8, CMYK converted."""
    if image.mode.startswith("I"):
        return image.convert("I").point(lambda level: level * (1 / 256)).convert("L")
    if "A" in image.mode or "a" in image.mode or "transparency" in image.info:
        colours = image.convert("RGBA")
        paper = Image.new("RGBA", colours.size, "white")
        return Image.alpha_composite(paper, colours).convert("RGB")
    return image if image.mode in ("RGB", "L") else image.convert("RGB")


def upright(image: Image.Image, orientation: int) -> Image.Image:
    """Turned as EXIF says."""
    return image.transpose(UPRIGHT[orientation]) if orientation in UPRIGHT else image


def fit(
    data: bytes, max_side: int = MAX_SENT_SIDE, max_bytes: int = MAX_SENT_BYTES, bounds: Bounds = Bounds()
) -> bytes:
    """The photo as a JPEG within these limits, upright, without EXIF. A small plain JPEG comes back as it is.

    Decodes everything, so a picture that passes here can be decoded later. Raises a PictureError.
    """
    image = _open(data, bounds)
    info = _info(image, bounds)
    if not fits(info, len(data), max_side, max_bytes):
        image.draft(None, (max_side, max_side))  # a large JPEG can be decoded at a half, a quarter, an eighth
        load(data, image, info)
        return _as_jpeg(upright(flattened(image), info.orientation), max_side, max_bytes)
    load(data, image, info)
    return data


def fits(info: PictureInfo, size: int, max_side: int = MAX_SENT_SIDE, max_bytes: int = MAX_SENT_BYTES) -> bool:
    """Whether `fit` gives a photo of `size` bytes back as it is, if it is whole: it need not be decoded to know."""
    return info.is_plain and size <= max_bytes and max(info.width, info.height) <= max_side


def _is_plain(image: Image.Image) -> bool:
    baseline = image.format == "JPEG" and not image.info.get("progressive") and image.mode in ("RGB", "L")
    return baseline and not image.info.get("exif")  # phones write where the photo was taken


def _as_jpeg(image: Image.Image, max_side: int, max_bytes: int) -> bytes:
    image.thumbnail((max_side, max_side), Image.Resampling.LANCZOS)
    while True:
        for quality in (92, 85, 75, 60):
            out = io.BytesIO()
            image.save(out, "JPEG", quality=quality)
            if out.tell() <= max_bytes or min(image.size) <= 2 * MIN_SIDE:
                return out.getvalue()
        image = image.reduce(2)
