"""How far each eye is open, from the mesh.

Coarse: the mesh follows a lid only weakly. The opening of 90 portraits with open eyes lies between 0.20 and 0.31; lids
drawn over the eyes of studio portraits lowered it by no more than 0.01 (docs/models/attributes.md). A low figure
means narrowed eyes; a high one does not prove that they are open.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

# Corners, upper lid, lower lid; the eye on the picture's left first.
EYES = (((33, 133), (159, 158, 160), (145, 153, 144)), ((263, 362), (386, 385, 387), (374, 380, 373)))
# Distance of the lids over that of the corners: a line, and the narrowest of open eyes (1 % of 240 LFW faces).
CLOSED, OPEN = 0.10, 0.20


def openness(mesh: Floats) -> tuple[float, float]:
    """0 closed to 1 open, of the eye on the picture's left and on its right; mesh 468×3."""
    left, right = (_share(mesh, *eye) for eye in EYES)
    return left, right


def _share(mesh: Floats, corners: tuple[int, int], upper: tuple[int, ...], lower: tuple[int, ...]) -> float:
    gap = np.linalg.norm(mesh[list(upper)] - mesh[list(lower)], axis=1).mean()
    width = np.linalg.norm(mesh[corners[0]] - mesh[corners[1]])
    return float(np.clip((gap / max(width, 1e-6) - CLOSED) / (OPEN - CLOSED), 0, 1))
