"""Bad pictures are told apart before they cost anything; good ones come out upright, whatever their format."""

import io
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageCms

from shared.errors import RollcallError
from shared.vision import picture
from shared.vision.picture import Bounds, decode, fit, fits, inspect

Photos = dict[str, tuple[bytes, ...]]


def encoded(image: Image.Image, format_: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, format_, **options)
    return out.getvalue()


@pytest.fixture(scope="module")
def photo(photos: Photos) -> Image.Image:
    """A real portrait, 360 high, not symmetric in any way."""
    image = Image.open(io.BytesIO(photos["Jacinda Ardern"][0])).convert("RGB")
    image.thumbnail((400, 360))
    return image


@pytest.fixture(scope="module")
def jpeg(photo: Image.Image) -> bytes:
    return encoded(photo, "JPEG", quality=95)


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("RGB"))[:, :, ::-1].astype(int)


def png_bomb(width: int, height: int) -> bytes:
    """A PNG of some hundred bytes that claims to be this large."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = zlib.compress(b"\0" * 1000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", picture.EmptyPicture),
        (b"hello, I am not a picture", picture.NotAPicture),
        (b"\xff\xd8\xff", picture.NotAPicture),
        (b"\xff\xd8\xff\xe0" + b"\0" * 100, picture.NotAPicture),
        (b"\x89PNG\r\n\x1a\n", picture.NotAPicture),
        (bytes(range(256)) * 40, picture.NotAPicture),
        (b"GIF89a" + b"\0" * 100, picture.UnsupportedFormat),
        (b"\0\0\0\x18ftypheic" + b"\0" * 100, picture.UnsupportedFormat),
        (b"%PDF-1.7", picture.UnsupportedFormat),
        (b"\xff\xd8" + b"\0" * 20_000_000, picture.TooManyBytes),
        (png_bomb(10_000, 6_000), picture.TooManyPixels),
        (png_bomb(60_000, 60_000), picture.TooManyPixels),
        (png_bomb(20, 2_000), picture.PictureTooSmall),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else f"{len(value)}-bytes",
)
@pytest.mark.parametrize("read", [inspect, decode, fit])
def test_bad_pictures_are_refused_by_name(
    data: bytes, error: type[picture.PictureError], read: Callable[[bytes], object]
) -> None:
    with pytest.raises(error) as caught:
        read(data)
    assert type(caught.value) is error
    assert caught.value.zh
    assert str(caught.value) == caught.value.en
    assert 222200 < caught.value.number < 222400


def test_a_bomb_is_refused_without_memory() -> None:
    """Sixty megapixels would be 180 MB; in a process that may not have them the refusal still comes."""
    program = (
        "import resource, sys\n"
        "from shared.vision import picture\n"
        "data = sys.stdin.buffer.read()\n"
        "room = 60_000_000 + int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (room, room))\n"
        "try:\n    picture.fit(data)\nexcept picture.TooManyPixels:\n    sys.exit(7)\n"
    )
    if sys.platform != "linux":
        pytest.skip("needs /proc")
    assert subprocess.run([sys.executable, "-c", program], input=png_bomb(10_000, 6_000), check=False).returncode == 7


def test_the_gateway_needs_no_opencv() -> None:
    program = (
        "import sys\nfrom shared.vision import picture\n"
        "sys.exit(any(name in sys.modules for name in ('cv2', 'numpy', 'openvino')))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize("share", [0.02, 0.3, 0.7, 0.99, 0.999])
@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP", "BMP", "progressive"])
@pytest.mark.parametrize("read", [decode, fit])
def test_a_cut_off_picture_is_never_half_grey(
    photo: Image.Image, format_: str, share: float, read: Callable[[bytes], object]
) -> None:
    whole = (
        encoded(photo, "JPEG", progressive=True) if format_ == "progressive" else encoded(photo, format_, lossless=True)
    )
    with pytest.raises((picture.DamagedPicture, picture.NotAPicture)):
        read(whole[: int(len(whole) * share)])


def test_a_thumbnail_inside_does_not_hide_a_cut(photo: Image.Image) -> None:
    """Cameras put a small JPEG with an end marker of its own into the header."""
    small = encoded(photo.resize((60, 60)), "JPEG")
    body = encoded(photo, "JPEG")
    with_thumbnail = body[:2] + b"\xff\xe1" + struct.pack(">H", len(small) + 2) + small + body[2:]
    assert decode(with_thumbnail).shape == decode(body).shape
    with pytest.raises(picture.DamagedPicture):
        decode(with_thumbnail[:-200])


def test_bytes_after_the_end_are_harmless(jpeg: bytes) -> None:
    assert np.array_equal(decode(jpeg + b"\0" * 512), decode(jpeg))
    assert fit(jpeg + b"\0" * 512)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP"])
def test_every_exif_orientation_comes_out_upright(photo: Image.Image, orientation: int, format_: str) -> None:
    back = {5: 5, 6: 8, 7: 7, 8: 6}.get(orientation, orientation)
    stored = picture.upright(photo, back)
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"JPEG": {"quality": 100, "subsampling": 0}, "WEBP": {"lossless": True}, "PNG": {}}[format_]
    data = encoded(stored, format_, exif=exif, **options)
    info = inspect(data)
    assert (info.width, info.height, info.orientation) == (*photo.size, orientation)
    assert np.abs(decode(data) - pixels(photo)).mean() < 2
    assert np.abs(decode(fit(data)) - pixels(photo)).mean() < 4


def test_a_senseless_orientation_is_ignored(photo: Image.Image) -> None:
    exif = Image.Exif()
    exif[0x0112] = 99
    assert inspect(encoded(photo, "JPEG", exif=exif)).orientation == 1
    assert inspect(encoded(photo, "JPEG", exif=b"Exif\0\0nonsense")).orientation == 1


def test_the_camera_path_and_the_other_agree(jpeg: bytes) -> None:
    """OpenCV decodes JPEG, Pillow the rest: both must mean the same colours."""
    assert np.abs(decode(jpeg) - pixels(Image.open(io.BytesIO(jpeg)))).max() <= 3


@pytest.mark.parametrize("mode", ["L", "1", "P", "LA", "RGBA", "CMYK", "I;16"])
def test_every_kind_of_pixel_keeps_its_colours(photo: Image.Image, mode: str) -> None:
    expected = pixels(photo.convert("L" if mode == "I;16" else mode))
    data = as_mode(photo, mode)
    assert np.abs(decode(data) - expected).mean() < 2.5
    assert np.abs(decode(fit(data)) - expected).mean() < {"1": 40, "P": 20}.get(mode, 5)


def as_mode(photo: Image.Image, mode: str) -> bytes:
    if mode == "CMYK":
        return encoded(photo.convert("CMYK"), "JPEG", quality=95)
    if mode == "I;16":
        return encoded(Image.fromarray(np.asarray(photo.convert("L")).astype(np.uint16) * 257), "PNG")
    return encoded(photo.convert(mode), "PNG")


def test_transparent_means_white(photo: Image.Image) -> None:
    clear = photo.convert("RGBA")
    clear.putalpha(0)
    assert decode(encoded(clear, "PNG")).min() == 255
    assert decode(fit(encoded(clear, "WEBP", lossless=True))).min() >= 250


@pytest.mark.parametrize("format_", ["PNG", "WEBP"])
def test_an_animation_is_no_photo(photo: Image.Image, format_: str) -> None:
    other = photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    with pytest.raises(picture.AnimatedPicture):
        inspect(encoded(photo, format_, save_all=True, append_images=[other]))


def test_a_phone_photo_with_a_second_picture_behind_it_is_a_jpeg(photo: Image.Image) -> None:
    data = encoded(photo, "MPO", save_all=True, append_images=[photo.resize((64, 64))])
    assert inspect(data).format == "JPEG"
    assert decode(data).shape == (photo.height, photo.width, 3)


def test_a_colour_profile_does_no_harm(photo: Image.Image) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert decode(fit(encoded(photo, "PNG", icc_profile=profile))).shape[2] == 3


def test_a_small_jpeg_passes_untouched(jpeg: bytes) -> None:
    assert fit(jpeg) is jpeg


@pytest.mark.parametrize("format_", ["JPEG", "PNG"])
def test_a_large_photo_fits_the_bus(photo: Image.Image, format_: str) -> None:
    large = photo.resize((photo.width * 12, photo.height * 12))
    small = fit(encoded(large, format_), max_side=1000, max_bytes=90_000)
    info = inspect(small)
    assert (info.format, max(info.width, info.height)) == ("JPEG", 1000)
    assert len(small) <= 90_000
    assert abs(info.width / info.height - photo.width / photo.height) < 0.01


def test_noise_that_no_quality_makes_small_enough_is_reduced() -> None:
    noise = Image.fromarray(np.random.default_rng(1).integers(0, 256, (800, 800, 3), np.uint8))
    assert len(fit(encoded(noise, "PNG"), max_bytes=50_000)) <= 50_000


def test_bounds_can_be_chosen(jpeg: bytes) -> None:
    with pytest.raises(picture.TooManyBytes):
        inspect(jpeg, Bounds(max_bytes=1000))
    with pytest.raises(picture.TooManyPixels):
        inspect(jpeg, Bounds(max_pixels=1000))


def test_every_error_can_cross_the_bus() -> None:
    for error in picture.PictureError.__subclasses__():
        assert RollcallError.by_code[error.code] is error
        assert error("零", "zero", field="img_data").number == error.baidu


def test_what_comes_back_as_it_is_can_be_told_from_the_header(photo: Image.Image, jpeg: bytes) -> None:
    others = [encoded(photo, "PNG"), encoded(photo, "JPEG", progressive=True), encoded(photo.convert("CMYK"), "JPEG")]
    for data in (jpeg, jpeg[:-200], encoded(photo.convert("L"), "JPEG"), *others):
        says = fits(inspect(data), len(data))
        try:
            assert (fit(data) is data) is says
        except picture.DamagedPicture:
            assert says, "only decoding shows it"
    assert not fits(inspect(jpeg), len(jpeg), max_side=100)
    assert not fits(inspect(jpeg), len(jpeg), max_bytes=len(jpeg) - 1)
