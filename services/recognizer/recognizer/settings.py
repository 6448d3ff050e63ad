"""Settings of the recognizer."""

from shared.settings import Settings
from shared.vision.calibration import DEFAULT_FPIR


class RecognizerSettings(Settings):
    """One process uses `threads` cores for its networks; scale by starting more."""

    threads: int = 1
    fpir: float = DEFAULT_FPIR
    """share of strangers that may be taken for somebody, for the whole gallery, whatever its size"""
    look_ahead: int = 2
    """turns taken at once: while one is computed, the next one's frame is fetched"""
