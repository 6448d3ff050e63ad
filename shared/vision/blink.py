"""How far eyes and mouth are open, from the face mesh, and blinks over time. Pure geometry, no clock.

Blinks need meshes whose lids were looked at (Fields.EYES, eyes.py): the plain mesh hardly moves its lids.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

# Vertices of MediaPipe's mesh: two corners, then pairs of upper and lower lid. `left` is the picture's left.
EYES = (((33, 133), ((159, 145), (158, 153), (160, 144))), ((263, 362), ((386, 374), (385, 380), (387, 373))))
LIPS = ((61, 291), ((13, 14), (82, 87), (312, 317)))

# Share of its usual opening below which an eye counts as closed, and above which as open again. Of meshes whose lids
# were looked at (eyes.py): nine blinks of NUAA's people go down to 0.12–0.61, and 0.4 % of 1,178 frames with open eyes
# lie below 0.62, 5 % below 0.8 (docs/models/attributes.md). The plain mesh stays above 0.9 in every blink.
CLOSED, OPEN = 0.62, 0.8
LONGEST = 0.6  # seconds; who closes the eyes for longer does not blink


def eye_opening(mesh: Floats) -> float:
    """Mean over both eyes of lid distance by eye width (468×2 mesh): 0.2–0.4 open, 0.04–0.19 closed."""
    return float(np.mean([_gape(mesh, *eye) for eye in EYES]))


def mouth_opening(mesh: Floats) -> float:
    """Distance of the inner lips by width of the mouth: 0 closed, about 0.5 wide open."""
    return _gape(mesh, *LIPS)


def _gape(mesh: Floats, corners: tuple[int, int], pairs: Sequence[tuple[int, int]]) -> float:
    width = float(np.linalg.norm(mesh[corners[0]] - mesh[corners[1]]))
    gaps = [float(np.linalg.norm(mesh[upper] - mesh[lower])) for upper, lower in pairs]
    return sum(gaps) / len(gaps) / max(width, 1e-6)


def blinks(times: Sequence[float], openings: Sequence[float]) -> int:
    """Dips of the opening under CLOSED times its usual value that end within LONGEST; times in seconds, ascending.

    The usual value is the 80th percentile, so that eyes closed for part of the time do not lower it. An eye that is
    only seen opening, or only closing, did not blink.
    """
    if len(openings) < 3:
        return 0
    usual = float(np.percentile(np.asarray(openings), 80))
    count, open_at, dipped = 0, None, False
    for time, opening in zip(times, openings, strict=True):
        if opening >= OPEN * usual:
            count += dipped and open_at is not None and time - open_at <= LONGEST
            open_at, dipped = time, False
        elif opening < CLOSED * usual:
            dipped = True
    return count
