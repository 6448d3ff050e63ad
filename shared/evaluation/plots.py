"""Three kinds of plot as SVG text, nothing but lines, words and rectangles."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float32]

WIDTH, HEIGHT = 640, 420
LEFT, TOP, RIGHT, BOTTOM = 70, 40, 20, 60
COLOURS = ("#1565c0", "#c62828", "#2e7d32", "#6a1b9a")
BINS = 80


@dataclass(frozen=True, slots=True)
class Curve:
    """A named line through (x, y) points."""

    name: str
    x: Sequence[float]
    y: Sequence[float]


@dataclass(frozen=True, slots=True)
class Frame:
    """Maps values to places in the drawing; both axes linear (pass logarithms for others)."""

    x: tuple[float, float]
    y: tuple[float, float]

    def across(self, value: float) -> float:
        """From the left, in pixels."""
        return LEFT + (value - self.x[0]) / (self.x[1] - self.x[0]) * (WIDTH - LEFT - RIGHT)

    def down(self, value: float) -> float:
        """From the top, in pixels."""
        return HEIGHT - BOTTOM - (value - self.y[0]) / (self.y[1] - self.y[0]) * (HEIGHT - TOP - BOTTOM)


def det(title: str, x_label: str, y_label: str, curves: Sequence[Curve], lowest: float = 1e-4) -> str:
    """Detection error trade-off: both rates on logarithmic axes from `lowest` to 1; rates below are drawn there."""
    bottom = float(np.floor(np.log10(lowest)))
    frame = Frame((bottom, 0.0), (bottom, 0.0))
    body = []
    for power in range(int(bottom), 1):
        body += _grid(frame, power, f"{10.0**power * 100:g} %")
    for number, curve in enumerate(curves):
        x, y = (np.log10(np.clip(values, lowest, 1)) for values in (curve.x, curve.y))
        points = " ".join(f"{frame.across(a):.1f},{frame.down(b):.1f}" for a, b in zip(x, y, strict=True))
        body.append(f'<polyline fill="none" stroke="{_colour(number)}" stroke-width="2" points="{points}"/>')
    return _drawing(title, x_label, y_label, [curve.name for curve in curves], body)


def histogram(title: str, x_label: str, groups: dict[str, Values]) -> str:
    """How the cosines of each group are spread, each group as shares of itself."""
    edges = np.linspace(-0.4, 1.0, BINS + 1)
    shares = {name: np.histogram(values, edges)[0] / max(1, len(values)) for name, values in groups.items()}
    top = max((float(share.max()) for share in shares.values()), default=0.0) or 1.0
    frame = Frame((-0.4, 1.0), (0.0, top * 1.05))
    body = [_tick(frame, step / 10) for step in range(-4, 11, 2)]
    for number, share in enumerate(shares.values()):
        body += [_bar(frame, edges[i], edges[i + 1], float(value), number) for i, value in enumerate(share) if value]
    return _drawing(title, x_label, "share", list(shares), body)


def lines(title: str, x_label: str, y_label: str, curves: Sequence[Curve]) -> str:
    """Curves over linear axes that begin at 0."""
    right = max((value for curve in curves for value in curve.x), default=0.0) or 1.0
    top = max((value for curve in curves for value in curve.y), default=0.0) or 1.0
    frame = Frame((0.0, right), (0.0, top * 1.05))
    body = []
    for x, y in zip(_steps(right), _steps(top), strict=True):
        body += [_tick_below(frame, x), _tick_left(frame, y)]
    for number, curve in enumerate(curves):
        points = " ".join(f"{frame.across(a):.1f},{frame.down(b):.1f}" for a, b in zip(curve.x, curve.y, strict=True))
        body.append(f'<polyline fill="none" stroke="{_colour(number)}" stroke-width="2" points="{points}"/>')
    return _drawing(title, x_label, y_label, [curve.name for curve in curves], body)


def _steps(end: float) -> list[float]:
    """Five places from 0 to `end`."""
    return [end * step / 4 for step in range(5)]


def _tick_below(frame: Frame, value: float) -> str:
    return _text(frame.across(value), HEIGHT - BOTTOM + 18, f"{value:,.0f}")


def _tick_left(frame: Frame, value: float) -> str:
    return _text(LEFT - 6, frame.down(value) + 4, f"{value:,.0f}", "end")


def _colour(number: int) -> str:
    return COLOURS[number % len(COLOURS)]


def _grid(frame: Frame, value: float, label: str) -> list[str]:
    x, y = frame.across(value), frame.down(value)
    return [
        f'<path stroke="#ddd" d="M{x:.1f} {TOP}V{HEIGHT - BOTTOM}M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>',
        _text(x, HEIGHT - BOTTOM + 18, label),
        _text(LEFT - 6, y + 4, label, "end"),
    ]


def _tick(frame: Frame, value: float) -> str:
    return _text(frame.across(value), HEIGHT - BOTTOM + 18, f"{value:.1f}")


def _bar(frame: Frame, start: float, end: float, share: float, number: int) -> str:
    left, top = frame.across(start), frame.down(share)
    width, height = frame.across(end) - left, HEIGHT - BOTTOM - top
    place = f'x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" height="{height:.1f}"'
    return f'<rect {place} fill="{_colour(number)}" fill-opacity="0.5"/>'


def _text(x: float, y: float, words: str, anchor: str = "middle", more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{more}>{escape(words)}</text>'


def _drawing(title: str, x_label: str, y_label: str, names: list[str], body: list[str]) -> str:
    middle = TOP + (HEIGHT - TOP - BOTTOM) / 2
    turned = f' transform="rotate(-90 16 {middle:.0f})"'
    words = [_text(WIDTH / 2, 22, title, more=' font-weight="bold"'), _text(WIDTH / 2, HEIGHT - 16, x_label)]
    words.append(_text(16, middle, y_label, more=turned))
    for number, name in enumerate(names):
        words.append(_text(WIDTH - RIGHT - 8, TOP + 18 * (number + 1), name, "end", f' fill="{_colour(number)}"'))
    axes = f'<path stroke="#333" fill="none" d="M{LEFT} {TOP}V{HEIGHT - BOTTOM}H{WIDTH - RIGHT}"/>'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif"'
    paper = '<rect width="100%" height="100%" fill="white"/>'
    return "\n".join([f'{head} font-size="12">', paper, *body, axes, *words, "</svg>\n"])
