"""The terminal API's twelve codes for how a face is turned."""

from typing import Final

# Degrees counter-clockwise → code of seed 004 (its third, "90 degree", stands for 270: every other angle is there).
# The seed does not say which way its angles run; the engine whose codes it prints counts counter-clockwise.
ANGLE_CODES: Final = {0: 1, 90: 2, 270: 3, 180: 4, 30: 5, 60: 6, 120: 7, 150: 8, 210: 9, 240: 10, 300: 11, 330: 12}


def angle_code(roll: float) -> int:
    """1–12 for a face with this roll (degrees, clockwise): the nearest of the seed's angles."""
    return ANGLE_CODES[round(-roll / 30) * 30 % 360]
