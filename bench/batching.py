"""Milliseconds a face when each network gets one face at a time, and several at once, on one core.

    python -m bench.batching [--rounds 60] [--core 0]

Random pixels: a network takes as long whatever it sees. The sizes take turns, and each one's fastest round counts.
"""

import time
from collections.abc import Callable

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


def networks() -> dict[str, tuple[Network, int]]:
    """Each network with a free number of faces, and the side of its picture."""
    weights, runtime = Weights.load(), RuntimeSettings()
    mesh = Network(weights.find("face_landmark"), [-1, MESH_SIDE, MESH_SIDE, 3], runtime, rgb=True, layout="NHWC")
    lids = Network(weights.find("iris_landmark"), [-1, EYE_SIDE, EYE_SIDE, 3], runtime, rgb=True, layout="NHWC")
    sface = Network(weights.find("sface"), [-1, 3, 112, 112], runtime, rgb=True, taps=(LAYER,))
    age = Network(weights.find("age"), [-1, 3, AGE_SIDE, AGE_SIDE], runtime, rgb=True, mean=MEAN, scale=SCALE)
    return {"mesh": (mesh, MESH_SIDE), "lids": (lids, EYE_SIDE), "SFace": (sface, 112), "age": (age, AGE_SIDE)}


def seconds(work: Callable[[], object]) -> float:
    """Of the processor, so that other work on the machine does not count."""
    start = time.process_time()
    work()
    return time.process_time() - start


def fastest(network: Network, side: int, rounds: int) -> list[float]:
    """Milliseconds a face for each of BATCHES."""
    rng = np.random.default_rng(1)
    pictures = rng.integers(0, 256, (BATCHES[-1], side, side, 3), np.uint8)
    best = [float("inf")] * len(BATCHES)
    for number in range(rounds + 1):
        for i, count in enumerate(BATCHES):
            taken = seconds(lambda count=count: network(pictures[:count])) / count  # type: ignore[misc]
            best[i] = min(best[i], taken) if number else best[i]  # the first round only warms up
    return [1000 * value for value in best]


@click.command(help=__doc__)
@click.option("--rounds", default=60, show_default=True)
@click.option("--core", default=0, show_default=True)
def main(rounds: int, core: int) -> None:
    """Command line."""
    on_one_core(core, "bench.batching")
    cv2.setNumThreads(1)
    print("| ms a face | " + " | ".join(f"{count} at once" for count in BATCHES) + " |")
    print("|---" * (len(BATCHES) + 1) + "|")
    for name, (network, side) in networks().items():
        print(
            f"| {name} | " + " | ".join(f"{value:.2f}" for value in fastest(network, side, rounds)) + " |", flush=True
        )


if __name__ == "__main__":
    main()
