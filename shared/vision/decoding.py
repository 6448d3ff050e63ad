"""Pixels out of checked picture bytes. Apart from picture.py because it needs numpy and OpenCV."""

import cv2
import numpy as np
from PIL import Image

from shared.vision.picture import DamagedPicture, PictureInfo, flattened, is_whole_jpeg, load, upright
from shared.vision.runtime import Pixels


def decode_image(data: bytes, image: Image.Image, info: PictureInfo) -> Pixels:
    """Upright H×W×3 BGR. Camera JPEGs go through OpenCV, which is fast; everything else through Pillow."""
    if info.format == "JPEG" and info.mode in ("RGB", "L"):
        return _jpeg(data, info)
    load(data, image, info)
    rgb = np.asarray(upright(flattened(image), info.orientation).convert("RGB"))
    return np.ascontiguousarray(rgb[:, :, ::-1])


def _jpeg(data: bytes, info: PictureInfo) -> Pixels:
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags) if is_whole_jpeg(data) else None
    if pixels is None:
        raise DamagedPicture("照片不完整或已损坏，请重新拍照", "The picture is incomplete or damaged; take it again")
    return np.ascontiguousarray(_turned(pixels, info.orientation))


def _turned(pixels: Pixels, orientation: int) -> Pixels:
    """EXIF orientations 1–8 as mirror images and an exchange of the axes."""
    if orientation in (3, 4, 6, 7):
        pixels = pixels[::-1]
    if orientation in (2, 3, 7, 8):
        pixels = pixels[:, ::-1]
    return pixels.swapaxes(0, 1) if orientation >= 5 else pixels
