"""Presentation attacks: how many of them pass (APCER), and how many genuine faces do not (BPCER)."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from shared.evaluation.plots import Curve

Scores = NDArray[np.float32]

GENUINE: Final = "live"
"""the folder of genuine faces; every folder beside it is a kind of attack"""
CURVE_POINTS: Final = 200


def apcer(genuine: Scores, attacked: Scores, bpcer: float) -> float:
    """Share of attacks that pass where the limit refuses `bpcer` of the genuine faces."""
    return float((attacked >= np.quantile(genuine, bpcer)).mean())


def trade_off(name: str, genuine: Scores, attacked: Scores) -> Curve:
    """APCER (y) over BPCER (x), from the smallest rate that so many genuine faces can show."""
    bpcers = np.geomspace(1 / len(genuine), 0.999, CURVE_POINTS)
    return Curve(name, bpcers.tolist(), [apcer(genuine, attacked, float(rate)) for rate in bpcers])


def auc(genuine: Scores, attacked: Scores) -> float:
    """Chance that a genuine face scores higher than an attack; ties count half."""
    ordered = np.sort(attacked)
    below, not_above = np.searchsorted(ordered, genuine), np.searchsorted(ordered, genuine, side="right")
    return float((below + not_above).mean() / 2 / len(attacked))
