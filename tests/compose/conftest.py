"""One engine for all of the real runs, and the images of others."""

from collections.abc import Iterator

import pytest

from tests.compose.engine import Engine, an_engine, find_images


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    with an_engine() as engine:
        yield engine


@pytest.fixture(scope="session")
def images(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return find_images(engine, tmp_path_factory.mktemp("images"))
