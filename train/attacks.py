"""Made presentation attacks: a face photo is printed or shown on a screen, held before a second camera, and taken.

Everything is drawn from a seeded generator. A scene is a BGR picture with the box (left, top, width, height) of the
face in it. Genuine faces go through the same camera (`capture`), so what differs is only what lies between.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]
Rng = np.random.Generator

CANVAS = 352  # pixels: side of a scene


@dataclass(frozen=True, slots=True)
class Scene:
    """A picture H×W×3 and where its face is."""

    picture: Pixels
    box: Floats


def photo(source: Scene, rng: Rng, face: float, most: float) -> tuple[Floats, Floats]:
    """A piece of the source, up to `most` boxes wide, its face `face` pixels wide: f32 0–1; and the box in it."""
    x, y, w, h = source.box
    reach = rng.uniform(1.25, most, 2) * max(w, h) / 2
    cx, cy = x + w / 2 + rng.normal(0, 0.1 * w), y + h / 2 + rng.normal(0, 0.1 * h)
    x0, y0 = int(max(cx - reach[0], 0)), int(max(cy - reach[1], 0))
    piece = source.picture[y0 : int(cy + reach[1]) + 1, x0 : int(cx + reach[0]) + 1]
    scale = face / float(np.sqrt(w * h))
    size = (max(8, round(piece.shape[1] * scale)), max(8, round(piece.shape[0] * scale)))
    drawn = cv2.resize(piece, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    return drawn.astype(np.float32) / 255, (source.box - np.array([x0, y0, 0, 0], np.float32)) * np.float32(scale)


def printed(image: Floats, rng: Rng) -> Floats:
    """Ink on paper: smaller gamut, blacks lifted by what the paper scatters, a cast, sometimes a visible dot screen or
    bands, grain."""
    image = _gamut(image, rng, black=(0.02, 0.4), white=(0.7, 1.05), saturation=(0.25, 1.15), cast=0.1)
    if rng.random() < 0.45:
        image = _halftone(image, rng)
    if rng.random() < 0.25:
        image = (
            image * (1 + rng.uniform(0.02, 0.06) * _waves(image.shape, rng, (3, 14), rng.normal(0, 0.03)))[..., None]
        )
    grain = rng.standard_normal(image.shape[:2], np.float32) * np.float32(rng.uniform(0.0, 0.03))
    return np.asarray(image + cv2.GaussianBlur(grain, (0, 0), rng.uniform(0.5, 1.2))[..., None], np.float32)


def shown(image: Floats, rng: Rng) -> Floats:
    """A lit screen: bluish, contrasty, a grid of coloured stripes, bands of the backlight."""
    image = _gamut(image, rng, black=(0.0, 0.25), white=(0.8, 1.2), saturation=(0.6, 1.4), cast=0.06)
    image = image * np.array([rng.uniform(1.0, 1.2), 1.0, rng.uniform(0.82, 1.02)], np.float32)
    if rng.random() < 0.75:
        image = _moire(image, rng)
    if rng.random() < 0.3:
        image = (
            image * (1 + rng.uniform(0.03, 0.12) * _waves(image.shape, rng, (20, 120), rng.normal(0, 0.1)))[..., None]
        )
    return np.asarray(image, np.float32)


def _gamut(
    image: Floats,
    rng: Rng,
    black: tuple[float, float],
    white: tuple[float, float],
    saturation: tuple[float, float],
    cast: float,
) -> Floats:
    grey = image.mean(axis=2, keepdims=True)
    image = np.clip(grey + (image - grey) * np.float32(rng.uniform(*saturation)), 0, 1)
    image = image ** np.float32(np.exp(rng.normal(0, 0.2)))
    low, high = rng.uniform(*black), rng.uniform(*white)
    return np.asarray((low + image * (high - low)) * (1 + rng.normal(0, cast, 3)), np.float32)


def _halftone(image: Floats, rng: Rng) -> Floats:
    """Amplitude-modulated dots: each ink darkens where the screen's wave lies above its tone."""
    pitch, softness = rng.uniform(2.2, 5.0), rng.uniform(0.2, 0.6)
    dots = np.empty_like(image)
    for channel in range(3):
        angle = rng.uniform(0, np.pi)
        wave = _grating(image.shape, pitch, angle) * _grating(image.shape, pitch, angle + np.pi / 2)
        dots[..., channel] = 1 / (1 + np.exp(-(image[..., channel] - 0.5 - wave / 2) / (softness / 4)))
    mix = np.float32(rng.uniform(0.15, 0.7))
    return np.asarray(image * (1 - mix) + dots * mix, np.float32)


def _moire(image: Floats, rng: Rng) -> Floats:
    """Beats of two grids, coloured because the stripes of the three colours lie side by side."""
    pitch, angle, depth = rng.uniform(2.0, 14.0), rng.uniform(0, np.pi), rng.uniform(0.03, 0.22)
    bend = 0.5 * _smooth(image.shape, rng)
    both = rng.random() < 0.5
    for channel in range(3):
        shift = channel * rng.uniform(0, 2.1)
        wave = _grating(image.shape, pitch, angle, shift + 6 * bend)
        if both:
            wave = (wave + _grating(image.shape, pitch * rng.uniform(0.9, 1.1), angle + np.pi / 2, 6 * bend)) / 2
        image[..., channel] *= 1 + np.float32(depth) * wave
    return image


def _grating(shape: tuple[int, ...], pitch: float, angle: float, phase: float | Floats = 0.0) -> Floats:
    rows, columns = (np.arange(size, dtype=np.float32) * np.float32(2 * np.pi / pitch) for size in shape[:2])
    along = columns * np.float32(np.cos(angle)) + rows[:, None] * np.float32(np.sin(angle))
    return np.asarray(np.sin(along + np.float32(phase)), np.float32)


def _waves(shape: tuple[int, ...], rng: Rng, period: tuple[float, float], tilt: float) -> Floats:
    upright = rng.random() < 0.25
    return _grating(shape, rng.uniform(*period), tilt + (0 if upright else np.pi / 2), rng.uniform(0, 6.3))


def _smooth(shape: tuple[int, ...], rng: Rng, cells: int = 4) -> Floats:
    """Slowly changing f32 field, about -1 to 1."""
    coarse = rng.uniform(-1, 1, (cells, cells)).astype(np.float32)
    return np.asarray(cv2.resize(coarse, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC), np.float32)


def glare(image: Floats, rng: Rng) -> Floats:
    """Reflections of lamps and windows on something flat and glossy: soft spots and straight bands."""
    for _ in range(rng.integers(1, 4)):
        spot = np.zeros(image.shape[:2], np.float32)
        centre = tuple(int(v) for v in rng.uniform(0, 1, 2) * image.shape[1::-1])
        long = float(max(image.shape[:2]))
        axes = (int(long * rng.uniform(0.02, 0.12)) + 1, int(long * rng.uniform(0.05, 0.7)) + 1)
        cv2.ellipse(spot, centre, axes, float(rng.uniform(0, 180)), 0, 360, 1.0, -1)
        spot = cv2.GaussianBlur(spot, (0, 0), long * rng.uniform(0.005, 0.06) + 0.5)
        image = image + spot[..., None] * np.float32(rng.uniform(0.08, 0.6))
    return image


def held(image: Floats, box: Floats, behind: Pixels, rng: Rng, *, screen: bool) -> Scene:
    """The sheet or the device, with its edge and perhaps fingers, seen at a slant before a background."""
    image, box = _framed(image, box, rng, screen=screen)
    if rng.random() < 0.35:
        image = _fingers(image, box, rng)
    matrix = _slant(image, box, rng)
    background = cv2.resize(behind, (CANVAS, CANVAS)).astype(np.float32) / 255
    drawn = cv2.warpPerspective(image, matrix, (CANVAS, CANVAS), flags=cv2.INTER_LINEAR)
    cover = cv2.warpPerspective(np.ones(image.shape[:2], np.float32), matrix, (CANVAS, CANVAS))
    mixed = background * (1 - cover[..., None]) + drawn * cover[..., None]
    return Scene(_bytes(mixed), _moved(box, matrix))


def _framed(image: Floats, box: Floats, rng: Rng, *, screen: bool) -> tuple[Floats, Floats]:
    if rng.random() < 0.25:
        return image, box
    edge = int(rng.uniform(0.03, 0.35) * np.sqrt(float(box[2] * box[3]))) + 1
    top = edge if rng.random() < 0.6 else int(edge * rng.uniform(1, 3))
    tone = rng.uniform(0, 0.12) if screen and rng.random() < 0.8 else rng.uniform(0.75, 1.0)
    colour = [float(tone * value) for value in rng.uniform(0.93, 1.0, 3)]
    framed = cv2.copyMakeBorder(image, top, top, edge, edge, cv2.BORDER_CONSTANT, value=colour)
    return np.asarray(framed, np.float32), box + np.array([edge, top, 0, 0], np.float32)


def _fingers(image: Floats, box: Floats, rng: Rng) -> Floats:
    """Skin-coloured ellipses reaching in from the left or right edge."""
    skin = image[int(box[1] + box[3] * 0.6), int(box[0] + box[2] * 0.3)] * rng.uniform(0.8, 1.2)
    height, width = image.shape[:2]
    thick = float(box[2]) * rng.uniform(0.08, 0.16)
    side = 0 if rng.random() < 0.5 else width
    for i in range(rng.integers(1, 4)):
        y = int(height * rng.uniform(0.4, 0.9) + i * 2 * thick)
        axes = (int(thick * rng.uniform(1.5, 3)), int(thick))
        cv2.ellipse(image, (side, y), axes, float(rng.normal(0, 15)), 0, 360, [float(v) for v in skin], -1, cv2.LINE_AA)
    return image


def _slant(image: Floats, box: Floats, rng: Rng) -> NDArray[np.float64]:
    """Homography into the canvas: face near the middle, corners moved as by a tilt of up to about 25°."""
    height, width = image.shape[:2]
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    middle = box[:2] + box[2:] / 2
    angle = rng.normal(0, 0.08)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    jitter = rng.normal(0, 0.035, (4, 2)) * max(width, height)
    target = (corners - middle) @ turn.T + jitter + CANVAS / 2 + rng.normal(0, 0.04 * CANVAS, 2)
    return np.asarray(cv2.getPerspectiveTransform(corners, target.astype(np.float32)), np.float64)


def _moved(box: Floats, matrix: NDArray[np.float64]) -> Floats:
    x, y, w, h = box
    corners = np.array([[[x, y], [x + w, y], [x + w, y + h], [x, y + h]]], np.float32)
    moved = cv2.perspectiveTransform(corners, matrix)[0]
    return np.asarray([*moved.min(0), *(moved.max(0) - moved.min(0))], np.float32)


def attack(source: Scene, behind: Scene, rng: Rng, *, screen: bool) -> Scene:
    """The whole way of a print (or a screen) attack, before the camera; `behind` gives background and frame."""
    image, box = photo(source, rng, rng.uniform(90, 140), 3.0)
    image = shown(image, rng) if screen else printed(image, rng)
    if rng.random() < 0.5:
        image = glare(image, rng)
    if rng.random() < 0.4:
        image = image * (1 + np.float32(rng.uniform(0.05, 0.3)) * _smooth(image.shape, rng, 2))[..., None]
    scene = held(image, box, behind.picture, rng, screen=screen)
    if rng.random() < 0.8:
        scene = _cut_like(scene, behind)
    soft = cv2.GaussianBlur(scene.picture, (0, 0), rng.uniform(0.4, 2.2))
    return Scene(soft, scene.box)


def _cut_like(scene: Scene, other: Scene) -> Scene:
    """As much of the room as another photo shows around its face: else only genuine faces would lack surroundings."""
    x, y, w, h = (float(value) for value in other.box)
    room = np.array([x / w, y / h, (other.picture.shape[1] - x) / w - 1, (other.picture.shape[0] - y) / h - 1])
    return _cut(scene, np.maximum(room, 0))


def genuine(source: Scene, behind: Scene, rng: Rng) -> Scene:
    """A face as it is, mirrored or not, a little turned, sometimes with a framed thing elsewhere in the room."""
    image, box = photo(source, rng, rng.uniform(90, 140), 6.0)
    scene = _turned(image, box, rng)
    if rng.random() < 0.5:
        scene = _with_a_picture_on_the_wall(scene, behind.picture, rng)
    if rng.random() < 0.35:
        return Scene(cv2.GaussianBlur(scene.picture, (0, 0), rng.uniform(0.3, 1.1)), scene.box)
    return scene


def untouched(source: Scene, rng: Rng) -> Scene:
    """The photo as it came, made smaller if the face is large: web photos know no made camera."""
    size = float(np.sqrt(source.box[2] * source.box[3]))
    scale = min(1.0, float(rng.uniform(90, 220)) / size)
    picture = cv2.resize(source.picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return Scene(np.asarray(picture, np.uint8), source.box * np.float32(scale))


def _turned(image: Floats, box: Floats, rng: Rng) -> Scene:
    """Turned and a little smaller; what lies outside is mirrored or black. Black corners that reach the end of the
    picture come from straightening photos, as in LFW; they must not pass for the frame of a screen."""
    black = rng.random() < 0.5
    angle, scale = (rng.normal(0, 9), rng.uniform(0.8, 1.0)) if black else (rng.normal(0, 5), 1.0)
    centre = (image.shape[1] / 2 + rng.normal(0, 4), image.shape[0] / 2 + rng.normal(0, 4))
    matrix = cv2.getRotationMatrix2D(centre, float(angle), float(scale))
    border = cv2.BORDER_CONSTANT if black else cv2.BORDER_REFLECT
    drawn = cv2.warpAffine(image, matrix, image.shape[1::-1], borderMode=border)
    return Scene(_bytes(drawn), _moved(box, np.vstack([matrix, [0, 0, 1]])))


def _with_a_picture_on_the_wall(scene: Scene, behind: Pixels, rng: Rng) -> Scene:
    """Something with edges beside the head, on one side or on both."""
    picture, box = scene.picture.copy(), scene.box
    height, width = picture.shape[:2]
    left, right = int(box[0] - 0.25 * box[2]), int(box[0] + 1.25 * box[2])
    for x0, x1 in ((0, left), (right, width)):
        y0, y1 = sorted(int(v) for v in rng.uniform(-0.3, 1.0, 2) * height)
        y0 = max(y0, 0)
        if x1 - x0 > 8 and y1 - y0 > 8 and rng.random() < 0.7:
            piece = behind[: max(8, int(rng.uniform(0.3, 1) * behind.shape[0]))]
            picture[y0:y1, x0:x1] = cv2.resize(piece, (x1 - x0, y1 - y0), interpolation=cv2.INTER_AREA)
            if rng.random() < 0.5:
                tone = [int(rng.integers(0, 256))] * 3
                cv2.rectangle(picture, (x0, y0), (x1 - 1, y1 - 1), tone, int(rng.integers(1, 5)))
    return Scene(picture, box)


def capture(scene: Scene, rng: Rng) -> Scene:
    """The camera: cut, size, light, colour, noise, JPEG. The same for genuine faces and attacks."""
    if rng.random() < 0.35:
        scene = _cut(scene, rng.uniform(0.0, 0.5, 4))
    scale = rng.uniform(0.45, 1.0) if rng.random() < 0.7 else rng.uniform(1.0, 1.5)
    drawn = cv2.resize(scene.picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    picture = _exposed(drawn, rng)
    if rng.random() < 0.1:
        picture = cv2.cvtColor(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    if rng.random() < 0.8:
        _, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(45, 97))])
        picture = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)
    if rng.random() < 0.5:
        picture, box = picture[:, ::-1], scene.box.copy()
        box[0] = scene.picture.shape[1] - box[0] - box[2]
        scene = Scene(scene.picture, box)
    return Scene(np.ascontiguousarray(picture), scene.box * np.float32(scale))


def _exposed(picture: Pixels, rng: Rng) -> Pixels:
    """Tone curve, gain, white balance, noise."""
    tones = (np.arange(256, dtype=np.float32) / 255) ** np.float32(np.exp(rng.normal(0, 0.25))) * rng.uniform(
        0.55, 1.15
    )
    table = _bytes(tones[:, None] * (1 + rng.normal(0, 0.04, 3)))[None]
    noise = rng.standard_normal(picture.shape, np.float32) * np.float32(rng.uniform(0, 6))
    return np.asarray(np.clip(cv2.LUT(picture, table) + noise, 0, 255), np.uint8)


def _cut(scene: Scene, room: NDArray[np.float64]) -> Scene:
    """A picture that ends near the face: `room` left, above, right, below it, in boxes."""
    x, y, w, h = scene.box
    grow = room * np.array([w, h, w, h])
    x0, y0 = int(max(x - grow[0], 0)), int(max(y - grow[1], 0))
    picture = scene.picture[y0 : max(int(y + h + grow[3]), y0 + 8), x0 : max(int(x + w + grow[2]), x0 + 8)]
    return Scene(np.ascontiguousarray(picture), scene.box - np.array([x0, y0, 0, 0], np.float32))


def _bytes(image: Floats) -> Pixels:
    return np.asarray(np.clip(image * 255 + 0.5, 0, 255), np.uint8)
