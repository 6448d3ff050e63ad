"""What a cosine is worth: how often two different people reach it, and which threshold keeps that rare enough.

FAR is the share of pairs of photos of different people at or above a cosine. A gallery of N faces gives a stranger N
chances, so the false positive identification rate (ISO/IEC 19795-1) is

    FPIR = 1 - (1 - FAR)^N

The figures are in calibration.toml, made by bench/calibrate.py: two tables for each model id.

* `mixed`: Labeled Faces in the Wild, people of all kinds. The scores of the APIs stand on it.
* `alike`: East-Asian public figures, most of them young. SFace tells people who are alike in age, sex and descent
  apart less well: the cosine with FAR 1e-4 in LFW has 8e-4 there, and not by wrong labels (62 different pairs of
  people cause it). A school is such a crowd, so the thresholds stand on this table.

Between two points of a table log10(FAR) runs straight. Beyond the last point (fewer than 30 pairs above it) a straight
line with the slope of LFW's tail is assumed; for `alike`, which is small, that begins at FAR 5e-4.
"""

import math
import tomllib
from bisect import bisect_left
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Final, Literal, NamedTuple

DEFAULT_FPIR: Final = 0.003
ACCEPTED_FAR: Final = 1e-4  # where score100 is 80 and score1 is 0.6, among `mixed` people


@dataclass(frozen=True, slots=True)
class Calibration:
    """One model's table: FARs falling, cosines rising; `slope` is d log10(FAR) / d cosine beyond its end."""

    fars: tuple[float, ...]
    cosines: tuple[float, ...]
    slope: float
    centred: tuple[float, ...] = ()
    """cosines from the gallery's centre with the same FARs (shared/vision/centring.py); empty if not measured"""

    def far_at(self, cosine: float) -> float:
        """Share of pairs of different people that reach this cosine."""
        if cosine >= self.cosines[-1]:
            return self.fars[-1] * 10 ** (self.slope * (cosine - self.cosines[-1]))
        if cosine <= self.cosines[0]:
            return _between(cosine, (-1.0, 1.0), (self.cosines[0], self.fars[0]))
        i = bisect_left(self.cosines, cosine)
        ends = [(self.cosines[k], math.log10(self.fars[k])) for k in (i - 1, i)]
        return float(10 ** _between(cosine, *ends))

    def cosine_at(self, far: float) -> float:
        """The inverse of `far_at`; at most 1. `far` must be above 0."""
        if far <= self.fars[-1]:
            return min(1.0, self.cosines[-1] + math.log10(far / self.fars[-1]) / self.slope)
        if far >= self.fars[0]:
            return _between(far, (1.0, -1.0), (self.fars[0], self.cosines[0]))
        i = bisect_left(self.fars, -far, key=lambda value: -value)
        ends = [(math.log10(self.fars[k]), self.cosines[k]) for k in (i - 1, i)]
        return _between(math.log10(far), *ends)


def _between(x: float, a: tuple[float, float], b: tuple[float, float]) -> float:
    """The straight line through two points."""
    return a[1] + (x - a[0]) * (b[1] - a[1]) / (b[0] - a[0])


People = Literal["mixed", "alike"]


@cache
def calibration(model_id: str, people: People = "alike") -> Calibration:
    """A table of a model. Raises KeyError for a model that was never measured."""
    text = resources.files(__package__).joinpath("calibration.toml").read_text(encoding="utf-8")
    table = tomllib.loads(text)["model"][model_id][people]
    return Calibration(tuple(table["fars"]), tuple(table["cosines"]), table["slope"], tuple(table.get("centred", ())))


def threshold_for(fpir: float, faces: int, model_id: str) -> float:
    """The cosine at which one stranger in 1/fpir is taken for somebody in a gallery of `faces` embeddings."""
    far = -math.expm1(math.log1p(-fpir) / max(1, faces))
    return calibration(model_id).cosine_at(far)


def fpir_at(threshold: float, faces: int, model_id: str) -> float:
    """Share of strangers that a gallery of `faces` embeddings takes for somebody at this cosine."""
    far = min(calibration(model_id).far_at(threshold), 1 - 1e-12)
    return -math.expm1(max(0, faces) * math.log1p(-far))


class Words(NamedTuple):
    """One sentence for the office, twice."""

    zh: str
    en: str


def promise(fpir: float, faces: int) -> Words:
    """What a threshold set from this FPIR means, for a library of `faces` faces."""
    if faces < 1:
        return Words("人脸库是空的，不会认出任何人", "The library is empty: nobody is taken for anybody")
    many, of = _share(fpir)
    strangers = "stranger in {} is" if many == "1" else "strangers in {} are"
    photos = f"{faces:,} face{'' if faces == 1 else 's'}"
    return Words(
        f"库中有 {faces:,} 张人脸时，每 {of:,} 个陌生人中最多有 {many} 人会被误认为库中的人",
        f"With {photos}, at most {many} {strangers.format(f'{of:,}')} taken for somebody",
    )


def _share(rate: float) -> tuple[str, int]:
    """3 in 1,000 for 0.003: the smallest power of ten that makes it a whole number, or two digits of it."""
    for power in range(1, 7):
        count = rate * 10**power
        if round(count) >= 1 and math.isclose(count, round(count), rel_tol=1e-9):
            return f"{round(count):,}", 10**power
    power = max(1, math.ceil(-math.log10(rate)))
    return f"{math.ceil(rate * 10 ** (power + 1)) / 10:g}", 10**power


def score100(cosine: float, model_id: str) -> float:
    """Baidu's scale: 0 for no likeness, 80 at FAR 1e-4, 100 for the same picture."""
    return 100 * _scaled(cosine, 0.8, model_id)


def score1(cosine: float, model_id: str) -> float:
    """Seed 004's scale: 0 for no likeness, 0.6 at FAR 1e-4, 1 for the same picture."""
    return _scaled(cosine, 0.6, model_id)


def _scaled(cosine: float, accepted: float, model_id: str) -> float:
    # Strangers scatter around the cosine 0, so 0 is where likeness begins.
    corner = (calibration(model_id, "mixed").cosine_at(ACCEPTED_FAR), accepted)
    if cosine <= corner[0]:
        return max(0.0, _between(cosine, (0.0, 0.0), corner))
    return min(1.0, _between(cosine, corner, (1.0, 1.0)))
