"""Milliseconds a face when each network gets one face at a time, and several at once, on one core.

    python -m bench.batching [--rounds 60] [--core 0]

Random pixels: a network takes as long whatever it sees. The sizes take turns, and each one's fastest round counts.
"""

import time
from collections.abc import Callable
from functools import partial

import click
import cv2
import numpy as np

from bench.recognizer import on_one_core
from shared.vision.attributes import AGE_SIDE, MEAN, SCALE
from shared.vision.eyes import SIDE as EYE_SIDE
from shared.vision.mesh import SIDE as MESH_SIDE
from shared.vision.occlusion import LAYER
from shared.vision.runtime import Network, RuntimeSettings
from shared.vision.weights import Weights

BATCHES = (1, 2, 4, 8)
Open = Callable[[int], Network]


def networks() -> dict[str, tuple[Open, int]]:
    """How to open each network for a number of faces (-1: any), and the side of its picture."""
    weights, runtime = Weights.load(), RuntimeSettings()
    mesh, lids, sface, age = (weights.find(name) for name in ("face_landmark", "iris_landmark", "sface", "age"))
    return {
        "mesh": (lambda n: Network(mesh, [n, MESH_SIDE, MESH_SIDE, 3], runtime, rgb=True, layout="NHWC"), MESH_SIDE),
        "one eye": (lambda n: Network(lids, [n, EYE_SIDE, EYE_SIDE, 3], runtime, rgb=True, layout="NHWC"), EYE_SIDE),
        "SFace": (lambda n: Network(sface, [n, 3, 112, 112], runtime, rgb=True, taps=(LAYER,)), 112),
        "age": (
            lambda n: Network(age, [n, 3, AGE_SIDE, AGE_SIDE], runtime, rgb=True, mean=MEAN, scale=SCALE),
            AGE_SIDE,
        ),
    }


def seconds(work: Callable[[], object]) -> float:
    """Of the processor, so that other work on the machine does not count."""
    start = time.process_time()
    work()
    return time.process_time() - start


def fastest(open_for: Open, side: int, rounds: int) -> list[float]:
    """Milliseconds a face: of a network made for one, then of one made for any number, for each of BATCHES."""
    pictures = np.random.default_rng(1).integers(0, 256, (BATCHES[-1], side, side, 3), np.uint8)
    fixed, free = open_for(1), open_for(-1)
    ways = [(fixed, 1), *((free, count) for count in BATCHES)]
    best = [float("inf")] * len(ways)
    for number in range(rounds + 1):
        for i, (network, count) in enumerate(ways):
            taken = seconds(partial(network, pictures[:count])) / count
            best[i] = min(best[i], taken) if number else best[i]  # the first round only warms up
    return [1000 * value for value in best]


@click.command(help=__doc__)
@click.option("--rounds", default=60, show_default=True)
@click.option("--core", default=0, show_default=True)
def main(rounds: int, core: int) -> None:
    """Command line."""
    on_one_core(core, "bench.batching")
    cv2.setNumThreads(1)
    print("| ms a face | made for one | " + " | ".join(f"{count} at once" for count in BATCHES) + " |")
    print("|---" * (len(BATCHES) + 2) + "|")
    for name, (network, side) in networks().items():
        print(
            f"| {name} | " + " | ".join(f"{value:.2f}" for value in fastest(network, side, rounds)) + " |", flush=True
        )


if __name__ == "__main__":
    main()
