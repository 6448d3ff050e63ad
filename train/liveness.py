"""Trains the passive liveness network and writes shared/vision/weights_own/liveness.onnx.

    python -m train.liveness FACES_FOLDER WORK_FOLDER [--research]

Needs torch and onnx beside Rollcall's own packages, $ROLLCALL_MODELS, 2 cores, under an hour, 2 GB. Seeded. Faces:
openly licensed ones only (SOURCES); attacks: made (train/attacks.py). What two MiniFASNet networks say of the same
pictures (Apache-2.0) is learned by a second output, whose logit is added to the first. `--research` adds the first
five people of NUAA; see docs/models/liveness.md.
"""

import argparse
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from shared.vision.detector import Detector, DetectorSettings
from shared.vision.liveness import SIDE, views
from shared.vision.runtime import RuntimeSettings
from shared.vision.weights import Weights
from train.attacks import Scene, attack, capture, genuine
from train.liveness_graph import save
from train.liveness_teachers import Teachers

# Folder pattern → how often each face of it is drawn, and the licence.
SOURCES = {
    "studio/*/*.jpg": 3,  # CC BY 4.0
    "studio_extra/*/*.jpg": 3,  # CC BY 4.0, CC0
    "asian/*/*": 1,  # MIT
    "groups/*/*": 4,  # BSL, MIT, Apache-2.0
    "occluded/glasses/*": 2,  # MIT
    "occluded/mask_web/*": 1,  # MIT
}
SMALLEST = 50  # pixels of the shorter side of a box
EXAMPLES = 6000
EPOCHS = 10
BATCH = 64
RATE = 3e-3
DISTILLATION = 0.5
SEED = 1
NUAA_TRAINED = ("0001", "0002", "0003", "0004", "0005")

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Examples:
    """Views N×96×192×3, live 1 or fake 0, the teachers' mean probability of live, and whether each is for training."""

    views: Pixels
    live: Floats
    taught: Floats
    kept: NDArray[np.bool_]


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("faces", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--research", action="store_true")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    examples = _once(options.work / f"examples{SEED}.npz", lambda: made(options.faces))
    if options.research:
        examples = _joined(examples, nuaa(options.faces))
    name = "liveness-research.onnx" if options.research else "liveness.onnx"
    save(trained(examples), options.work / name)


def made(faces: Path) -> Examples:
    """EXAMPLES pictures, half genuine, a quarter printed, a quarter on a screen."""
    rng, teachers, sources = np.random.default_rng(SEED), Teachers(faces / "models"), _sources(faces)
    every = [source for name, source in sources]
    rows = []
    for i in range(EXAMPLES):
        chosen, other = rng.integers(len(sources), size=2)
        name, source = sources[chosen]
        scene = capture(_scene(source, every[other], i % 4, rng), rng)
        taught = float(teachers(scene.picture, scene.box).mean())
        rows.append((views(scene.picture, scene.box), float(i % 4 < 2), taught, _trains(name)))
        if i % 500 == 0:
            print(f"made {i} of {EXAMPLES}", flush=True)
    return _stacked(rows)


def _scene(source: Scene, other: Scene, kind: int, rng: np.random.Generator) -> Scene:
    return genuine(source, other, rng) if kind < 2 else attack(source, other, rng, screen=kind == 3)


def _sources(faces: Path) -> list[tuple[str, Scene]]:
    """(person, face) as often as each is to be drawn."""
    detector = Detector(Weights.load().find("yunet"), RuntimeSettings(precision="f32"), DetectorSettings())
    found: list[tuple[str, Scene]] = []
    for pattern, times in SOURCES.items():
        for file in sorted(faces.glob(pattern)):
            for scene in _faces(detector, file):
                found += [(_person(file), scene)] * times
    return found


def _person(file: Path) -> str:
    """Folder of the person; where all people share one folder, the picture."""
    alone = file.parent.name in ("canada", "lisa", "zoom", "dlib", "crowds", "counted", "glasses", "mask_web")
    return file.stem if alone else file.parent.name


def _faces(detector: Detector, file: Path) -> Iterator[Scene]:
    """Every face large enough. Tight crops get room, in which the detector works as it should."""
    picture = cv2.imread(str(file))
    if picture is None:  # the folder has XML beside its pictures
        return
    room = max(picture.shape[:2]) // 3
    found = detector(np.asarray(cv2.copyMakeBorder(picture, room, room, room, room, cv2.BORDER_REPLICATE), np.uint8))
    for box in found.boxes:
        if min(box[2:]) >= SMALLEST:
            yield Scene(np.asarray(picture, np.uint8), box - np.array([room, room, 0, 0], np.float32))


def _trains(person: str) -> bool:
    """Nine people of ten; the tenth is looked at while training goes on."""
    return zlib.crc32(person.encode()) % 10 != 0


def nuaa(faces: Path) -> Examples:
    """Research only: real prints and faces of five people, each also with other light and size."""
    rng, teachers = np.random.default_rng(SEED), Teachers(faces / "models")
    detector = Detector(Weights.load().find("yunet"), RuntimeSettings(precision="f32"), DetectorSettings())
    rows = []
    for label in ("live", "print"):
        for file in sorted(f for who in NUAA_TRAINED for f in faces.glob(f"spoof/nuaa/{label}/{who}/*.jpg")):
            for scene in list(_faces(detector, file))[:1]:
                for drawn in (scene, capture(scene, rng)):
                    taught = float(teachers(drawn.picture, drawn.box).mean())
                    rows.append((views(drawn.picture, drawn.box), float(label == "live"), taught, True))
    return _stacked(rows)


def _stacked(rows: list[tuple[Pixels, float, float, bool]]) -> Examples:
    pictures, live, taught, kept = zip(*rows, strict=True)
    return Examples(np.stack(pictures), np.array(live, np.float32), np.array(taught, np.float32), np.array(kept))


def _joined(one: Examples, other: Examples) -> Examples:
    return Examples(*(np.concatenate([a, b]) for a, b in zip(vars(one).values(), vars(other).values(), strict=True)))


def _once(file: Path, make: Callable[[], Examples]) -> Examples:
    """Making takes longer than training, so it is done once per folder."""
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        np.savez(file, **vars(make()))
    with np.load(file) as arrays:
        return Examples(**arrays)


class Net(nn.Module):
    """Two small stacks of convolutions, one per view; mean and maximum of each; two logits: ours, the teachers'."""

    WIDTHS = ((3, 16, 2), (16, 32, 2), (32, 48, 2), (48, 64, 1), (64, 96, 2))

    def __init__(self) -> None:
        super().__init__()
        self.wide, self.close = self._stack(), self._stack()
        self.first, self.last = nn.Linear(4 * 96, 64), nn.Linear(64, 2)

    def _stack(self) -> nn.Sequential:
        layers: list[nn.Module] = []
        for entry, out, stride in self.WIDTHS:
            layers += [nn.Conv2d(entry, out, 3, stride, 1, bias=False), nn.BatchNorm2d(out), nn.ReLU(inplace=True)]
        return nn.Sequential(*layers)

    def forward(self, pictures: Tensor) -> Tensor:
        """N×3×96×192 in [0, 1] → N×2."""
        wide = self.wide(functional.avg_pool2d(pictures[..., :SIDE], 2))  # edges of a sheet need no fine grain
        close = self.close(pictures[..., SIDE:])
        seen = [wide.mean((2, 3)), wide.amax((2, 3)), close.mean((2, 3)), close.amax((2, 3))]
        if self.training:  # each view must do alone, too
            chance = torch.rand(len(pictures), 1)
            far, near = chance > 0.35, (chance < 0.35) | (chance > 0.5)
            seen = [part * kept for part, kept in zip(seen, (far, far, near, near), strict=True)]
        hidden = functional.dropout(functional.relu(self.first(torch.cat(seen, 1))), 0.3, self.training)
        answer: Tensor = self.last(hidden)
        return answer


def trained(examples: Examples) -> Net:
    """The network after EPOCHS, ready for inference."""
    torch.manual_seed(SEED)
    net = Net().to(memory_format=torch.channels_last)
    rows = np.flatnonzero(examples.kept)
    steps = EPOCHS * (len(rows) // BATCH)
    optimiser = torch.optim.AdamW(net.parameters(), RATE, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps, pct_start=0.15)
    rng = np.random.default_rng(SEED)
    for epoch in range(EPOCHS):
        net.train()
        rng.shuffle(rows)
        for batch in np.array_split(rows[: len(rows) // BATCH * BATCH], len(rows) // BATCH):
            optimiser.zero_grad()
            _loss(net, examples, batch, rng).backward()
            optimiser.step()
            schedule.step()
        print(
            f"epoch {epoch}: APCER at BPCER 1 % on made attacks of other people {_held_out(net, examples):.3f}",
            flush=True,
        )
    return net.eval()


def _loss(net: Net, examples: Examples, batch: NDArray[np.intp], rng: np.random.Generator) -> Tensor:
    pictures = _tensor(examples.views[batch])
    pictures = pictures * (1 + 0.1 * torch.randn(len(batch), 3, 1, 1)) + 0.05 * torch.randn(len(batch), 1, 1, 1)
    answer = net(pictures.clamp(0, 1).contiguous(memory_format=torch.channels_last))
    live = torch.from_numpy(examples.live[batch] * 0.94 + 0.03)
    taught = torch.from_numpy(np.clip(examples.taught[batch], 0.02, 0.98))
    own = functional.binary_cross_entropy_with_logits(answer[:, 0], live)
    return own + DISTILLATION * functional.binary_cross_entropy_with_logits(answer[:, 1], taught)


def _tensor(pictures: Pixels) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(pictures.transpose(0, 3, 1, 2))).float() / 255


def _held_out(net: Net, examples: Examples) -> float:
    net.eval()
    rows = np.flatnonzero(~examples.kept)
    with torch.no_grad():
        margins = torch.cat([net(_tensor(examples.views[part])) for part in np.array_split(rows, 8)])[:, 0].numpy()
    live = examples.live[rows] == 1
    return float((margins[~live] >= np.quantile(margins[live], 0.01)).mean())


if __name__ == "__main__":
    main()
