"""Features as terminals keep and compare them: an embedding, and which model made it. Standard library only.

    3 bytes  "RCF"
    1 byte   the format's version, 1
    1 byte   n
    n bytes  the model's id, ASCII
    rest     the embedding, little-endian float32, of length 1

Embeddings of two models say nothing of each other, so a feature carries its model, and two are compared only if it is
the same one.
"""

import math
import struct
from dataclasses import dataclass
from typing import Final

from shared.vision.calibration import score1

START: Final = b"RCF\x01"
MAX_FEATURE: Final = 16_384 + 5 + 64
"""bytes; an embedding has at most 16,384 (shared.contracts.library), a model's id 64"""
UNIT_TOLERANCE: Final = 0.01
MATCH: Final = 0.6
"""seed 004: as alike as this or more is the same person"""


class NotAFeature(ValueError):
    """Bytes that are no feature of this format."""


class OtherModel(Exception):
    """The features were made by two models, or by one that was never measured here."""


@dataclass(frozen=True, slots=True)
class Feature:
    """`embedding`: little-endian float32, of length 1."""

    model: str
    embedding: bytes

    def packed(self) -> bytes:
        """As described above."""
        name = self.model.encode("ascii")
        return START + bytes([len(name)]) + name + self.embedding

    @classmethod
    def unpacked(cls, data: bytes) -> "Feature":
        """Raises NotAFeature; what comes back is finite and of length 1."""
        if len(data) > MAX_FEATURE or not data.startswith(START) or len(data) == len(START):
            raise NotAFeature("not a feature")
        begin = len(START) + 1
        end = begin + data[len(START)]
        name, embedding = data[begin:end], data[end:]
        if not name or len(name) != end - begin or not name.isascii() or not name.decode("ascii").isprintable():
            raise NotAFeature("no model")
        if not embedding or len(embedding) % 4:
            raise NotAFeature("no embedding")
        feature = cls(name.decode("ascii"), embedding)
        if not abs(math.hypot(*feature._values()) - 1.0) <= UNIT_TOLERANCE:  # false for NaN
            raise NotAFeature("not of length 1")
        return feature

    def _values(self) -> tuple[float, ...]:
        return struct.unpack(f"<{len(self.embedding) // 4}f", self.embedding)

    def score(self, other: "Feature") -> float:
        """How alike the faces are, 0..1 (shared.vision.calibration.score1). Raises OtherModel."""
        mine, others = self._values(), other._values()
        if self.model != other.model or len(mine) != len(others):
            raise OtherModel(f"{self.model} and {other.model}")
        cosine = math.fsum(a * b for a, b in zip(mine, others, strict=True))
        try:
            return score1(cosine, self.model)
        except KeyError:
            raise OtherModel(self.model) from None
