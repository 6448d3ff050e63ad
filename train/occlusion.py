"""Trains the occlusion head and writes shared/vision/weights_own/occlusion.npz.

    python -m train.occlusion FACES [--count 6000] [--seed 7]

FACES is a folder with `studio`, `studio_extra` (CC BY 4.0 and CC0 portraits) and `occluders/masktheface_templates`
(MIT). Nothing else is read. About 15 minutes on two cores; needs torch. Every fifth person and every fourth mask
template is kept for the test, whose figures are printed at the end (docs/models/occlusion.md).
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from shared.vision.aligner import SIDE
from shared.vision.occlusion import CELLS, LAYER, PARTS, OcclusionHead, part_masks
from shared.vision.runtime import Network, RuntimeSettings
from shared.vision.weights import Weights
from train.occluded_faces import ENLARGED, ORIGIN, Portrait, portraits, sample
from train.occluders import Floats, MaskTemplate, Painter, Props, mask_templates
from train.ranking import auc

HIDDEN, SECOND = 24, 16
OUTPUT = Path(__file__).parents[1] / "shared" / "vision" / "weights_own" / "occlusion.npz"


@dataclass(frozen=True, slots=True)
class Set:
    """`features` N×512×14×14 f16, `cells` N×14×14 and `parts` N×7: the covered share of each."""

    features: NDArray[np.float16]
    cells: Floats
    parts: Floats


def open_portraits(faces: Path) -> list[tuple[str, Path]]:
    """(person, file) of every openly licensed portrait."""
    studio = [(path.parent.name, path) for path in sorted(faces.glob("studio/*/*.jpg"))]
    canada = [(path.stem, path) for path in sorted(faces.glob("studio_extra/canada/*.jpg"))]
    others = [(name, path) for name in ("lisa", "zoom") for path in sorted(faces.glob(f"studio_extra/{name}/*.jpg"))]
    return studio + canada + others


def make(
    people: list[Portrait], masks: tuple[MaskTemplate, ...], files: list[Path], count: int, seed: int, network: Network
) -> Set:
    """`count` samples of these people; patches are cut from `files`."""
    rng = np.random.default_rng(seed)
    pictures = tuple(cv2.imread(str(path)) for path in files)
    painter = Painter(rng, Props(masks, pictures))
    kinds = list(painter.kinds())
    made = [sample(people[rng.integers(len(people))], painter, kinds, rng) for _ in range(count)]
    cells = [cv2.resize(one.cover, (CELLS, CELLS), interpolation=cv2.INTER_AREA) for one in made]
    features = _features(network, np.stack([one.aligned for one in made]))
    return Set(features, np.stack(cells), np.stack([one.parts for one in made]))


def _features(network: Network, aligned: NDArray[np.uint8]) -> NDArray[np.float16]:
    batches = np.array_split(aligned, max(1, len(aligned) // 16))
    return np.concatenate([network(batch)[LAYER].astype(np.float16) for batch in batches])


def pooling(people: list[Portrait]) -> Floats:
    """7×196: how much each cell counts for each part, from where the parts lie on average."""
    masks = np.mean([part_masks((face.mesh - ORIGIN) / ENLARGED) for face in people], axis=0)
    coarse = masks.reshape(len(PARTS), CELLS, SIDE // CELLS, CELLS, SIDE // CELLS).mean(axis=(2, 4))
    flat = coarse.reshape(len(PARTS), -1)
    shares: Floats = (flat / flat.sum(axis=1, keepdims=True)).astype(np.float32)
    return shares


def fit(data: Set, pool: Floats, rounds: int, seed: int) -> dict[str, Floats]:
    """The head's arrays, with the features' mean and spread folded into the first layer."""
    torch.manual_seed(seed)
    mean, spread = _moments(data.features)
    net = nn.Sequential(
        nn.Conv2d(len(mean), HIDDEN, 1),
        nn.ReLU(),
        nn.Conv2d(HIDDEN, SECOND, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(SECOND, 1, 1),
    )
    batch = 64
    steps = rounds * (len(data.features) // batch)
    optimiser = torch.optim.AdamW(net.parameters(), weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 5e-3, total_steps=steps)
    rng = np.random.default_rng(seed)
    for _ in range(rounds):
        order = rng.permutation(len(data.features))[: steps // rounds * batch].reshape(-1, batch)
        for chosen in order:
            scaled = (data.features[chosen].astype(np.float32) - mean[:, None, None]) / spread[:, None, None]
            loss = _loss(net(torch.from_numpy(scaled))[:, 0], data.cells[chosen], data.parts[chosen], pool)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    return _arrays(net, mean, spread, pool)


def _moments(features: NDArray[np.float16]) -> tuple[Floats, Floats]:
    some = features[:500].astype(np.float32)
    return some.mean((0, 2, 3)), some.std((0, 2, 3)) + np.float32(1e-3)


def _loss(logits: torch.Tensor, cells: Floats, parts: Floats, pool: Floats) -> torch.Tensor:
    """Right in each place, and right for each part."""
    shares = torch.sigmoid(logits).flatten(1) @ torch.from_numpy(pool).T
    places = nn.functional.binary_cross_entropy_with_logits(logits, torch.from_numpy(cells))
    whole = nn.functional.binary_cross_entropy(shares.clamp(1e-4, 1 - 1e-4), torch.from_numpy(parts).clamp(0, 1))
    return places + whole / 2


def _arrays(net: nn.Sequential, mean: Floats, spread: Floats, pool: Floats) -> dict[str, Floats]:
    w1, b1, w2, b2, w3, b3 = (parameter.detach().numpy() for parameter in net.parameters())
    folded = w1[:, :, 0, 0] / spread
    return {
        "w1": folded.astype(np.float16),
        "b1": b1 - folded @ mean,
        "w2": w2,
        "b2": b2,
        "w3": w3[0, :, 0, 0],
        "b3": b3,
        "pool": pool,
    }


def report(head: OcclusionHead, test: Set) -> None:
    """One line a part: covered by more than half, against open."""
    figures = np.array([tuple(getattr(one, name) for name in PARTS) for one in head(test.features.astype(np.float32))])
    for i, name in enumerate(PARTS):
        hidden, free = figures[test.parts[:, i] > 0.5, i], figures[test.parts[:, i] < 0.05, i]
        error = np.abs(figures[:, i] - test.parts[:, i]).mean()
        print(f"| {name} | {len(hidden)} / {len(free)} | {auc(hidden, free):.4f} | {error:.3f} |")


def main() -> None:
    """Trains, writes, tests."""
    options = _options()
    cv2.setNumThreads(1)
    torch.set_num_threads(options.threads)
    weights = Weights.load(options.models)
    runtime = RuntimeSettings(options.threads, "f32")
    network = Network(weights.find("sface"), [-1, 3, 112, 112], runtime, rgb=True, taps=(LAYER,))
    files = open_portraits(options.faces)
    kept = set(np.random.default_rng(0).permutation(sorted({person for person, _ in files}))[::5])
    groups = [[entry for entry in files if (entry[0] in kept) == held] for held in (False, True)]
    people = [portraits(group, weights) for group in groups]
    templates = mask_templates(options.faces / "occluders" / "masktheface_templates")
    masks = (tuple(t for i, t in enumerate(templates) if i % 4 != 3), templates[3::4])
    paths = [[path for _, path in group] for group in groups]
    data = make(people[0], masks[0], paths[0], options.count, options.seed, network)
    np.savez_compressed(options.output, **fit(data, pooling(people[0]), 10, options.seed))
    test = make(people[1], masks[1], paths[1], 1000, options.seed + 1, network)
    report(OcclusionHead(options.output), test)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("faces", type=Path)
    parser.add_argument("--models", type=Path, help="folder of the weights; default: that of this environment")
    parser.add_argument("--count", type=int, default=6000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", type=Path, default=OUTPUT)
    return parser.parse_args()


if __name__ == "__main__":
    main()
