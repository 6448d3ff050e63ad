"""Things that cover a face, drawn on a picture, with the truth about which pixels are covered.

A canvas is a BGR picture S×S×3 (float32, 0–255) of one face, with the 468 mesh points of that face in its pixels.
Every occluder returns the changed canvas and how much of each pixel it covers (S×S float32, 0–1). What people wear
without hiding anything (clear glasses, a beard, a shadow) returns a cover of 0, so that the network learns to let it
pass.
"""

import configparser
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Covered = tuple[Floats, Floats]

EYES = ((33, 133), (263, 362))  # outer and inner corner, from the picture's left
# Where MaskTheFace's key points a–f belong: high on the left cheek, nose bridge, right; low left, chin, low right.
MASK_POINTS = (227, 197, 447, 172, 152, 397)


@dataclass(frozen=True, slots=True)
class MaskTemplate:
    """A cut-out mask BGRA, and its six key points (6×2, pixels)."""

    picture: NDArray[np.uint8]
    points: Floats


@dataclass(frozen=True, slots=True)
class Props:
    """What the occluders are made of: mask templates, and pictures to cut patches from."""

    masks: tuple[MaskTemplate, ...]
    pictures: tuple[NDArray[np.uint8], ...]


def mask_templates(folder: Path) -> tuple[MaskTemplate, ...]:
    """MaskTheFace's templates (MIT) with the key points of masks.cfg."""
    config = configparser.ConfigParser()
    config.read(folder / "masks.cfg")
    sections = [config[name] for name in config.sections() if "template" in config[name]]
    return tuple(template for section in sections if (template := _template(folder, section)) is not None)


def _template(folder: Path, section: configparser.SectionProxy) -> MaskTemplate | None:
    picture = cv2.imread(str(folder / "templates" / Path(section["template"]).name), cv2.IMREAD_UNCHANGED)
    if picture is None or picture.shape[2] != 4:
        return None
    points = [[float(value) for value in section[f"mask_{letter}"].split(",")] for letter in "abcdef"]
    return MaskTemplate(picture, np.array(points, np.float32))


class Painter:
    """Draws one occluder of each kind on a canvas; all chance comes from `rng`."""

    def __init__(self, rng: np.random.Generator, props: Props) -> None:
        self._rng, self._props = rng, props

    def kinds(self) -> dict[str, Callable[[Floats, Floats], Covered]]:
        """Every occluder by name."""
        return {
            "mask": self.mask,
            "sunglasses": self.sunglasses,
            "glasses": self.glasses,
            "hand": self.hand,
            "hair": self.hair,
            "paper": self.paper,
            "patch": self.patch,
            "beard": self.beard,
            "shadow": self.shadow,
        }

    def mask(self, canvas: Floats, mesh: Floats) -> Covered:
        """A template on nose, mouth and chin, sometimes worn too low, in any colour."""
        template = self._props.masks[self._rng.integers(len(self._props.masks))]
        width = np.linalg.norm(mesh[454] - mesh[234])
        target = mesh[list(MASK_POINTS)] + self._rng.normal(0, 0.03, (6, 2)) * width
        target[1, 1] += width * (
            self._rng.uniform(0.15, 0.3) if self._rng.random() < 0.12 else self._rng.uniform(-0.05, 0.08)
        )
        target[4, 1] += width * self._rng.uniform(0, 0.12)
        matrix, _ = cv2.findHomography(template.points, target.astype(np.float32))
        if matrix is None:
            return canvas, np.zeros(canvas.shape[:2], np.float32)
        worn = cv2.warpPerspective(template.picture, matrix, canvas.shape[1::-1], flags=cv2.INTER_AREA).astype(
            np.float32
        )
        return _laid(canvas, self._dyed(worn[:, :, :3]), np.where(worn[:, :, 3] > 60, 1, 0).astype(np.float32))

    def sunglasses(self, canvas: Floats, mesh: Floats) -> Covered:
        """Dark or coloured lenses, usually both, with a frame and sometimes a reflection."""
        lens = self._lenses(mesh, canvas.shape[0], self._rng.uniform(0.72, 1.2), self._rng.uniform(0.5, 1.0))
        if self._rng.random() < 0.08:
            lens[:, : canvas.shape[1] // 2] = 0
        colour = self._colour() * self._rng.uniform(0.0, 0.35)
        filled = np.ones_like(canvas) * colour + self._slope(canvas.shape[0]) * self._rng.uniform(0, 60)
        covered = _laid(canvas, filled, lens * self._rng.uniform(0.78, 1.0))[0]
        return self._framed(covered, mesh), (lens > 0.5).astype(np.float32)

    def glasses(self, canvas: Floats, mesh: Floats) -> Covered:
        """Clear lenses: nothing is hidden."""
        lens = self._lenses(mesh, canvas.shape[0], self._rng.uniform(0.65, 1.15), self._rng.uniform(0.5, 1.0))
        edge = cv2.dilate(lens, np.ones((3, 3), np.uint8)) - cv2.erode(
            lens, np.ones((int(self._rng.integers(2, 5)),) * 2, np.uint8)
        )
        tinted = _laid(canvas, np.full_like(canvas, self._rng.uniform(60, 255)), lens * self._rng.uniform(0, 0.15))[0]
        drawn = _laid(tinted, np.ones_like(canvas) * self._colour() * self._rng.uniform(0, 0.8), np.clip(edge, 0, 1))[0]
        return self._framed(drawn, mesh), np.zeros(canvas.shape[:2], np.float32)

    def hand(self, canvas: Floats, mesh: Floats) -> Covered:
        """Fingers side by side and a palm, in the colour of this person's own cheek."""
        size = canvas.shape[0]
        skin = canvas[tuple(np.clip(mesh[205].astype(int)[::-1], 0, size - 1))] * self._rng.uniform(0.75, 1.15)
        shape, shade = np.zeros((size, size), np.float32), np.zeros((size, size), np.float32)
        thick = np.linalg.norm(mesh[454] - mesh[234]) * self._rng.uniform(0.11, 0.16)
        start, angle = self._place(mesh), self._rng.uniform(0, 2 * np.pi)
        along, across = np.array([np.cos(angle), np.sin(angle)]), np.array([-np.sin(angle), np.cos(angle)])
        for finger in range(int(self._rng.integers(1, 5))):
            base = start + across * finger * thick * 1.02
            tip = base + along * thick * self._rng.uniform(3.2, 4.5)
            _capsule(shape, base, tip, thick, 1.0)
            _capsule(shade, base, tip, thick * 0.6, 1.0)
        _capsule(shape, start - along * thick, start - along * thick * 4 + across * thick, thick * 3.5, 1.0)
        soft = cv2.GaussianBlur(shade, (0, 0), thick / 3)
        drawn = np.ones_like(canvas) * skin * (0.72 + 0.33 * soft[..., None]) + self._noise(size, 5)
        return _laid(canvas, drawn, cv2.GaussianBlur(shape, (0, 0), 0.8), shape)

    def hair(self, canvas: Floats, mesh: Floats) -> Covered:
        """Strands from the top over one eye, or over the brow."""
        size = canvas.shape[0]
        strands, tone = np.zeros((size, size), np.float32), np.zeros((size, size), np.float32)
        middle, width = mesh[10] + self._rng.normal(0, 25, 2), self._rng.uniform(15, 60)
        ends = mesh[self._rng.choice([33, 263, 145, 374, 117, 346, 50, 280, 70, 300])]
        for _ in range(int(self._rng.integers(60, 260))):
            low = ends + self._rng.normal(0, width / 2, 2)
            top = middle + np.array([self._rng.normal(0, width), -30])
            bow = (low + top) / 2 + self._rng.normal(0, 10, 2)
            curve = np.array([top, (top + 2 * bow) / 3, (low + 2 * bow) / 3, low]).astype(np.int32)
            thickness = int(self._rng.integers(1, 4))
            cv2.polylines(strands, [curve], False, 1.0, thickness, cv2.LINE_AA)
            cv2.polylines(tone, [curve], False, float(self._rng.uniform(0.5, 1.4)), thickness, cv2.LINE_AA)
        colour = np.array([0.5, 0.7, 1.0]) * self._rng.uniform(15, 110)
        cover = (cv2.blur(strands, (5, 5)) > 0.6).astype(np.float32)
        return _laid(canvas, np.ones_like(canvas) * colour * tone[..., None], strands, cover)

    def paper(self, canvas: Floats, mesh: Floats) -> Covered:
        """A flat thing before the face: sheet, card, book, phone."""
        shape = self._polygon(mesh, canvas.shape[0], 4, 0.25, 0.75)
        sheet = np.ones_like(canvas) * self._colour() + self._slope(canvas.shape[0]) * self._rng.uniform(0, 60)
        for _ in range(int(self._rng.integers(0, 14))):
            a, b = (tuple(int(v) for v in self._rng.uniform(0, canvas.shape[0], 2)) for _ in range(2))
            cv2.line(sheet, a, b, self._colour().tolist(), int(self._rng.integers(1, 5)))
        return _laid(canvas, sheet + self._noise(canvas.shape[0], 4), shape)

    def patch(self, canvas: Floats, mesh: Floats) -> Covered:
        """A piece of another picture or a made-up texture, in any outline."""
        size = canvas.shape[0]
        shape = self._polygon(mesh, size, int(self._rng.integers(3, 9)), 0.15, 0.6)
        if self._rng.random() < 0.6:
            source = self._props.pictures[self._rng.integers(len(self._props.pictures))]
            side = int(self._rng.integers(60, min(source.shape[:2]) - 1))
            y, x = (int(self._rng.integers(0, limit - side)) for limit in source.shape[:2])
            stuff = cv2.resize(source[y : y + side, x : x + side], (size, size)).astype(np.float32)
            stuff = np.rot90(stuff, int(self._rng.integers(4)))
        else:
            stuff = np.ones_like(canvas) * self._colour() + self._clouds(size) * self._rng.uniform(20, 90)
        return _laid(
            canvas, self._dyed(stuff) if self._rng.random() < 0.4 else stuff, cv2.GaussianBlur(shape, (0, 0), 1), shape
        )

    def beard(self, canvas: Floats, mesh: Floats) -> Covered:
        """Darker, grainy jaw and upper lip: part of the face."""
        size, shape = canvas.shape[0], np.zeros(canvas.shape[:2], np.float32)
        jaw = mesh[
            [
                132,
                58,
                172,
                136,
                150,
                149,
                176,
                148,
                152,
                377,
                400,
                378,
                379,
                365,
                397,
                288,
                361,
                410,
                393,
                164,
                167,
                186,
            ]
        ]
        cv2.fillPoly(shape, [jaw.astype(np.int32)], 1.0)
        cv2.fillConvexPoly(shape, cv2.convexHull(mesh[[61, 0, 291, 17, 37, 267]].astype(np.int32)), 0.0)
        shape = cv2.GaussianBlur(shape, (0, 0), self._rng.uniform(2, 8))
        grain = np.clip(0.7 + self._noise(size, 0.35)[..., :1], 0, 1) * self._rng.uniform(0.3, 0.95)
        colour = np.ones_like(canvas) * np.array([0.7, 0.85, 1.0]) * self._rng.uniform(15, 150) + self._noise(size, 14)
        return _laid(canvas, colour, shape * grain[..., 0])[0], np.zeros((size, size), np.float32)

    def shadow(self, canvas: Floats, mesh: Floats) -> Covered:
        """Light from one side or above: dark, but not covered."""
        low = self._rng.uniform(0.15, 0.7)
        dark = low + (1 - low) * self._slope(canvas.shape[0], sharp=self._rng.uniform(1, 12))
        return canvas * dark, np.zeros(canvas.shape[:2], np.float32)

    # ---- parts of the drawings

    def _lenses(self, mesh: Floats, size: int, wide: float, high: float) -> Floats:
        shape = np.zeros((size, size), np.float32)
        reach = np.linalg.norm(mesh[33] - mesh[263]) * wide / 2 * 0.62
        drop, power = reach * self._rng.uniform(-0.05, 0.3), self._rng.uniform(2, 5)
        angles = np.linspace(0, 2 * np.pi, 40, endpoint=False)
        unit = np.stack([_rounded(np.cos(angles), power), _rounded(np.sin(angles), power) * high], axis=1)
        for outer, inner in EYES:
            middle = mesh[outer] * 0.52 + mesh[inner] * 0.48 + np.array([0, drop])
            cv2.fillPoly(shape, [(middle + unit * reach).astype(np.int32)], 1.0)
        return shape

    def _framed(self, canvas: Floats, mesh: Floats) -> Floats:
        drawn, colour = canvas.copy(), (self._colour() * self._rng.uniform(0, 0.7)).tolist()
        thickness = int(self._rng.integers(1, 5))
        lines = ((mesh[133], mesh[362]), (mesh[33], mesh[234]), (mesh[263], mesh[454]))
        for a, b in lines:
            cv2.line(drawn, _pixel(a), _pixel(b), colour, thickness, cv2.LINE_AA)
        return drawn

    def _polygon(self, mesh: Floats, size: int, corners: int, least: float, most: float) -> Floats:
        shape, middle = np.zeros((size, size), np.float32), self._place(mesh)
        width = np.linalg.norm(mesh[454] - mesh[234])
        angles = np.sort(self._rng.uniform(0, 2 * np.pi, corners)) if corners != 4 else np.arange(4) * np.pi / 2 + 0.78
        turn, aspect = self._rng.normal(0, 0.35), self._rng.uniform(0.5, 1.8)
        reach = width * self._rng.uniform(least, most) * self._rng.uniform(0.8, 1.2, corners)
        points = np.stack([np.cos(angles) * reach * aspect, np.sin(angles) * reach / aspect], axis=1)
        turned = points @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
        cv2.fillPoly(shape, [(middle + turned).astype(np.int32)], 1.0)
        return shape

    def _place(self, mesh: Floats) -> Floats:
        place: Floats = mesh[self._rng.integers(len(mesh))] + self._rng.normal(0, 14, 2)
        return place

    def _colour(self) -> Floats:
        grey = self._rng.uniform(0, 255)
        spread = self._rng.choice([0, 15, 90])
        return np.clip(grey + self._rng.normal(0, 1, 3) * spread, 0, 255).astype(np.float32)

    def _dyed(self, stuff: Floats) -> Floats:
        if self._rng.random() < 0.5:
            return stuff
        grey = np.clip(stuff.mean(axis=2, keepdims=True) / 255, 0, 1)
        dyed: Floats = (grey ** self._rng.uniform(0.7, 2.0) * self._colour()).astype(np.float32)
        return dyed if self._rng.random() < 0.7 else dyed + self._clouds(stuff.shape[0]) * 40

    def _noise(self, size: int, strength: float) -> Floats:
        return self._rng.normal(0, strength, (size, size, 1)).astype(np.float32)

    def _clouds(self, size: int) -> Floats:
        """Smooth coloured noise of several scales, about -1 to 1."""
        total = np.zeros((size, size, 3), np.float32)
        for cells in (4, 12, 40):
            grid = self._rng.normal(0, 0.5, (cells, cells, 3)).astype(np.float32)
            total += cv2.resize(grid, (size, size), interpolation=cv2.INTER_CUBIC)
        return total

    def _slope(self, size: int, sharp: float = 1.0) -> Floats:
        """0 to 1 along a random direction, S×S×1."""
        angle = self._rng.uniform(0, 2 * np.pi)
        rows, columns = np.mgrid[:size, :size].astype(np.float32) / size - 0.5
        ramp = (np.cos(angle) * columns + np.sin(angle) * rows + self._rng.uniform(-0.2, 0.2)) * sharp + 0.5
        return np.clip(ramp, 0, 1)[..., None].astype(np.float32)


def _laid(canvas: Floats, stuff: Floats, alpha: Floats, cover: Floats | None = None) -> Covered:
    mixed = canvas + (stuff - canvas) * alpha[..., None]
    return np.clip(mixed, 0, 255).astype(np.float32), alpha if cover is None else cover


def _rounded(values: NDArray[np.float64], power: float) -> NDArray[np.float64]:
    return np.sign(values) * np.abs(values) ** (2 / power)


def _capsule(shape: Floats, start: Floats, end: Floats, width: float, value: float) -> None:
    cv2.line(shape, _pixel(start), _pixel(end), value, max(1, int(width)), cv2.LINE_AA)


def _pixel(point: Floats) -> tuple[int, int]:
    return int(point[0]), int(point[1])
