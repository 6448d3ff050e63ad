"""The sample photographs in the tests' cache: $ROLLCALL_CACHE, or .cache/faces of the checkout."""

import os
from functools import cache
from pathlib import Path

from shared.sample_faces import PEOPLE, STRANGERS, load

__all__ = ["PEOPLE", "STRANGERS", "cache_dir", "photos"]


def cache_dir() -> Path:
    """Where the photos are kept between runs."""
    chosen = os.environ.get("ROLLCALL_CACHE")
    return Path(chosen) if chosen else Path(__file__).resolve().parents[1] / ".cache" / "faces"


@cache
def photos() -> dict[str, tuple[bytes, ...]]:
    """Person → JPEG files; PEOPLE and STRANGERS name them."""
    return load(cache_dir())
