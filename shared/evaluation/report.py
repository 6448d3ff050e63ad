"""What an evaluation found, section by section: a Markdown table and plots.

A section is a function from the embedded photos to a Section, or None if the photos cannot answer its question. To add
a table, write such a function and add it to SECTIONS.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from typing import Final

import numpy as np
from numpy.typing import NDArray

from shared.evaluation.attacks import GENUINE, Scores, apcer, trade_off
from shared.evaluation.folder import Embedded
from shared.evaluation.plots import Curve, det, histogram
from shared.evaluation.rates import Cosines, OneToMany, one_to_many, pairs, ten_fold
from shared.vision.calibration import threshold_for
from shared.vision.centring import plain_scale
from shared.vision.liveness import LEVELS
from shared.vision.quality import Quality, check

FARS: Final = (1e-2, 1e-3, 1e-4)
FPIRS: Final = (0.01, 0.003)
CURVE_POINTS: Final = 200


@dataclass(frozen=True, slots=True)
class Section:
    """A heading, the table's first line, its other lines, and plots by file name."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    plots: dict[str, str] = field(default_factory=dict)

    def as_markdown(self) -> str:
        """With links to the plots, which lie beside it."""
        lines = [self.columns, ("---",) * len(self.columns), *self.rows]
        table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        links = "".join(f"\n\n![{self.title}]({name})" for name in self.plots)
        return f"## {self.title}\n\n{table}{links}\n"


def verification(embedded: Embedded, model_id: str) -> Section | None:
    """One to one: are these two photos of one person?"""
    if embedded.scores:  # folders of attacks, not of people
        return None
    same, strangers = pairs(embedded)
    if not len(same) or not len(strangers):
        return None
    accuracy, error = ten_fold(embedded)
    rows = [("ten-fold accuracy", "–" if np.isnan(accuracy) else f"{accuracy:.2%} ± {error:.2%}", "")]
    rows += [_tar(same, strangers, far) for far in FARS if far * len(strangers) >= 1]
    plots = {
        "verification-det.svg": det("One to one", "FAR", "FRR", [_one_to_one_curve(same, strangers)]),
        "scores.svg": histogram("Cosines", "cosine", {"two people": strangers, "one person": same}),
    }
    rows.append(("pairs of one person, of two", f"{len(same):,}", f"{len(strangers):,}"))
    return Section("Verification", ("", "rate", "cosine"), tuple(rows), plots)


def _tar(same: Cosines, strangers: Cosines, far: float) -> tuple[str, str, str]:
    threshold = float(strangers[int(far * len(strangers))])
    return f"TAR at FAR {far:.0e}", f"{(same > threshold).mean():.2%}", f"{threshold:.3f}"


def _one_to_one_curve(same: Cosines, strangers: Cosines) -> Curve:
    fars = np.geomspace(1e-4, 1, CURVE_POINTS)
    thresholds = strangers[np.minimum((fars * len(strangers)).astype(int), len(strangers) - 1)]
    return Curve("all pairs", fars.tolist(), [float((same <= threshold).mean()) for threshold in thresholds])


def identification(embedded: Embedded, model_id: str) -> Section | None:
    """One to many, with strangers; who is which: shared/evaluation/rates.py."""
    if embedded.scores:
        return None
    ways = {"plain": one_to_many(embedded), "centred": one_to_many(embedded, from_centre=True)}
    plain = ways["plain"]
    if not len(plain.strangers) or not plain.gallery:
        return None
    rows = [(f"FNIR at FPIR {fpir:.1%}", *(f"{way.fnir(fpir):.2%}" for way in ways.values())) for fpir in FPIRS]
    rows += [_as_delivered(ways, fpir, model_id) for fpir in FPIRS]
    counts = f"{plain.gallery:,} in the gallery, {len(plain.returning):,} returning, {len(plain.strangers):,} strangers"
    rows.append((counts, "", ""))
    curves = [_one_to_many_curve(name, way) for name, way in ways.items()]
    plots = {"identification-det.svg": det("One to many", "FPIR", "FNIR", curves, 1e-3)}
    return Section("Open-set identification", ("", *ways), tuple(rows), plots)


def _as_delivered(ways: dict[str, OneToMany], asked: float, model_id: str) -> tuple[str, ...]:
    """What the threshold for this gallery gives, which stands on other people's photos (calibration.toml)."""
    cells = []
    for name, way in ways.items():
        threshold = threshold_for(asked, way.gallery, model_id)
        scale = (plain_scale(model_id) if name == "centred" else None) or float
        strangers = np.array([scale(cosine) for cosine in way.strangers])
        returning = np.array([scale(cosine) for cosine in way.returning])
        missed = 1 - (way.right & (returning >= threshold)).mean()
        cells.append(f"FPIR {(strangers >= threshold).mean():.2%}, FNIR {missed:.2%}")
    return f"threshold for FPIR {asked:.1%}", *cells


def _one_to_many_curve(name: str, way: OneToMany) -> Curve:
    fpirs = np.geomspace(1 / len(way.strangers), 0.999, CURVE_POINTS)
    return Curve(name, fpirs.tolist(), [way.fnir(float(fpir)) for fpir in fpirs])


def quality(embedded: Embedded, model_id: str) -> Section | None:
    """How the measures are spread, and how many photos the registration would refuse for which."""
    if not embedded.qualities:
        return None
    measures = {name: values for name in _numbers() if len(values := _values(embedded, name))}
    rows = [(name, *(f"{cut:.2f}" for cut in np.percentile(v, (5, 50, 95)))) for name, v in measures.items()]
    refusals = [{failure.check for failure in check(one)} for one in embedded.qualities]
    reasons = sorted(set().union(*refusals))
    rows += [_share(f"refused for {reason}", [reason in those for those in refusals]) for reason in reasons]
    rows.append(_share("usable for registration", [not those for those in refusals]))
    return Section("Quality", ("", "5 %", "median", "95 %"), tuple(rows))


def _share(name: str, photos: list[bool]) -> tuple[str, str, str, str]:
    return name, "", f"{np.mean(photos):.1%}", ""


def _numbers() -> list[str]:
    return [measure.name for measure in fields(Quality)]


def _values(embedded: Embedded, name: str) -> NDArray[np.float64]:
    found = [getattr(one, name) for one in embedded.qualities]
    return np.array([value for value in found if isinstance(value, int | float)], np.float64)


def liveness(embedded: Embedded, model_id: str) -> Section | None:
    """Error rates of the passive check at the three levels, and per attack the whole trade-off."""
    told = {kind: scores[~np.isnan(scores)] for kind, scores in embedded.scores.items()}
    genuine, attacks = (
        told.pop(GENUINE, np.empty(0, np.float32)),
        {kind: some for kind, some in told.items() if len(some)},
    )
    if not len(genuine):
        return None
    rows = [_refused(f"BPCER {GENUINE} ({len(genuine):,})", genuine)]
    rows += [_passed(f"APCER {kind} ({len(some):,})", some, genuine) for kind, some in attacks.items()]
    untold = sum(int(np.isnan(scores).sum()) for scores in embedded.scores.values())
    rows.append((f"not checked, face too small: {untold}", *[""] * (len(LEVELS) + 1)))
    columns = ("", *(f"{name} {limit}" for name, limit in LEVELS.items()), "at BPCER 1 %")
    curves = [trade_off(kind, genuine, some) for kind, some in attacks.items()]
    plots = {"liveness-det.svg": det("Passive liveness", "BPCER", "APCER", curves, 1e-3)} if curves else {}
    return Section("Passive liveness", columns, tuple(rows), plots)


def _refused(name: str, genuine: Scores) -> tuple[str, ...]:
    return name, *(f"{(genuine < limit).mean():.2%}" for limit in LEVELS.values()), ""


def _passed(name: str, attacked: Scores, genuine: Scores) -> tuple[str, ...]:
    return (
        name,
        *(f"{(attacked >= limit).mean():.1%}" for limit in LEVELS.values()),
        f"{apcer(genuine, attacked, 0.01):.1%}",
    )


SectionMaker = Callable[[Embedded, str], Section | None]

SECTIONS: Final[Sequence[SectionMaker]] = (verification, identification, quality, liveness)


def sections(embedded: Embedded, model_id: str) -> list[Section]:
    """Every section that these photos can fill."""
    made = [make(embedded, model_id) for make in SECTIONS]
    return [section for section in made if section is not None]
