"""Engines: a frame in, an outcome out."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from shared.contracts.gallery import LibraryDelta
from shared.contracts.recognition import Frame, Identified, Result


@dataclass(frozen=True, slots=True)
class Outcome:
    """What to publish: the events first, then the result."""

    result: Result
    events: tuple[Identified, ...] = ()


class Engine(Protocol):
    """Recognises frames against its copy of the library."""

    @property
    def name(self) -> str:
        """LOCAL or BAIDU: gateways ask people for another consent."""
        ...

    async def answer(self, frame: Frame) -> Outcome:
        """Never raises for a bad picture: the result says what is wrong with it."""
        ...

    async def apply(self, delta: LibraryDelta) -> None:
        """Take over a change of the library; the next answer knows it."""
        ...

    async def reset(self) -> None:
        """Forget the library: it will be told again from the beginning."""
        ...

    @property
    def revision(self) -> int:
        """The library revision that answers are searched in."""
        ...

    @property
    def waiting(self) -> int:
        """Faces of the library that another model measured: they are not compared until they are measured again."""
        ...

    @property
    def faces(self) -> Mapping[str, int]:
        """How many are searched, by index: "door" and "libraries"."""
        ...

    async def ready(self) -> None:
        """The health check: whoever works on frames answers."""
        ...
