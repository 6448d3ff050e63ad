"""Real weights and real photographs, loaded once."""

import pytest

from shared.vision.engine import EngineSettings, FaceEngine
from shared.vision.weights import Weights
from tests import sample_faces


@pytest.fixture(scope="session")
def engine() -> FaceEngine:
    return FaceEngine(Weights.load(), EngineSettings())


@pytest.fixture(scope="session")
def photos() -> dict[str, tuple[bytes, ...]]:
    return sample_faces.photos()
