"""Settings of the recognizer."""

from typing import Literal

from shared.settings import Settings
from shared.vision.calibration import DEFAULT_FPIR


class RecognizerSettings(Settings):
    """One process uses `threads` cores for its networks; scale by starting more."""

    threads: int = 1
    fpir: float = DEFAULT_FPIR
    """share of strangers that may be taken for somebody, for the whole gallery, whatever its size"""
    liveness: Literal["NONE", "LOW", "NORMAL", "HIGH"] = "NONE"
    """what a single picture must show of life, in Baidu's levels. Off: the network that ships lets printed photos pass
    (docs/models/liveness.md), and a check that does not hold would only be trusted"""
    liveness_motion: Literal["off", "refuse-fake", "require-live"] = "off"
    """what a face on a stream must show by its motion (docs/models/liveness.md). "refuse-fake": a face is named after
    a second and a half, unless it has moved as a photo does; one that holds still is let through. "require-live":
    nobody is named before a turn of the head has shown that it is one; single pictures are not accepted then"""
    look_ahead: int = 2
    """turns taken at once: while one is computed, the next one's frame is fetched"""
