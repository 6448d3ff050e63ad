"""Makes shared/vision/calibration.toml: how often photos of two different people reach a cosine.

    python -m bench.calibrate MIXED [--alike ALIKE] [--flip] [--write] [--side 640] [--no-mesh] [--cache FOLDER]

A folder holds one folder a person: MIXED is Labeled Faces in the Wild, ALIKE a set of people of one descent. Prints the
error rates; with --write the tables of this model id are replaced. Takes 3–4 minutes for 7,500 photos on an idle core;
--cache keeps the embeddings, so that a second run takes seconds.
"""

import re
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import click
import numpy as np

from shared.evaluation.folder import Embedded, embed
from shared.evaluation.rates import Cosines, OneToMany, centred, one_to_many, pairs
from shared.vision.calibration import People
from shared.vision.detector import DetectorSettings
from shared.vision.engine import EngineSettings, FaceEngine
from shared.vision.weights import Weights

GRID = (0.5, 0.2, 0.1, *(step * 10.0**-power for power in range(2, 8) for step in (5, 2, 1)))
MIN_ERRORS = (
    30  # "rule of 30" (Doddington et al. 2000): with 30 errors the true rate is within ±30 % at 90 % confidence
)


@dataclass(frozen=True, slots=True)
class Table:
    """FARs falling, the cosine that this share of pairs reaches, also from the centre (shared/vision/centring.py), and
    the slope of log10(FAR) in the tail."""

    fars: list[float]
    cosines: list[float]
    centred: list[float]
    slope: float

    def as_toml(self, model_id: str, people: People, source: str) -> str:
        """The block of this model and these people in calibration.toml."""
        fars = ", ".join(f"{far:.0e}" for far in self.fars)
        cosines, centred = (", ".join(f"{cosine:.4f}" for cosine in row) for row in (self.cosines, self.centred))
        lines = [f'[model."{model_id}".{people}]', f"# {source}", f"fars = [{fars}]", f"cosines = [{cosines}]"]
        return "\n".join([*lines, f"centred = [{centred}]", f"slope = {self.slope:.2f}"]) + "\n"


def tabulate(strangers: Cosines, centred: Cosines, slope: float | None = None) -> Table:
    """From the cosines of pairs of different people, plain and centred, falling; down to the FAR with MIN_ERRORS pairs.

    The tail's slope is fitted to the points from FAR 1e-4 on, unless it is given.
    """
    fars = [far for far in GRID if far * len(strangers) >= MIN_ERRORS]
    places = [int(far * len(strangers)) for far in fars]
    cosines = [float(strangers[place]) for place in places]
    tail = [i for i, far in enumerate(fars) if far <= 1e-4] or list(range(len(fars)))[-4:]
    fitted = np.polyfit([cosines[i] for i in tail], [np.log10(fars[i]) for i in tail], 1)[0]
    return Table(fars, cosines, [float(centred[i]) for i in places], float(fitted) if slope is None else slope)


def report(embedded: Embedded) -> Table:
    """Prints the error rates and returns the table."""
    same, strangers = pairs(embedded)
    table = tabulate(strangers, pairs(centred(embedded))[1])
    at_1e4 = float(strangers[int(len(strangers) * 1e-4)])
    print(f"photos {len(embedded.people)}, without a face {embedded.without_face}")
    print(f"pairs of one person {len(same)}, of two people {len(strangers)}")
    print(f"TAR at FAR 1e-4: {(same > at_1e4).mean():.2%} (cosine {at_1e4:.3f})")
    report_many(one_to_many(embedded), "")
    report_many(one_to_many(embedded, from_centre=True), ", centred")
    return table


def report_many(many: OneToMany, name: str) -> None:
    """Prints the rates of one to many; nothing for a set where everybody has several photos."""
    if not len(many.strangers):
        return
    print(f"gallery {many.gallery}, returning {len(many.returning)}, strangers {len(many.strangers)}{name}")
    for fpir in (0.01, 0.003):
        print(f"FNIR at FPIR {fpir:.1%}: {many.fnir(fpir):.2%} (cosine {many.threshold(fpir):.3f})")


def compare(table: Table, embedded: Embedded) -> Table:
    """Prints what the table's cosines are worth among people who are alike, and returns their own table."""
    strangers = pairs(embedded)[1]
    print(f"alike: {len(embedded.people)} photos, {len(strangers)} pairs of two people")
    for far, cosine in zip(table.fars, table.cosines, strict=True):
        count = int((strangers >= cosine).sum())
        print(f"cosine {cosine:.3f}: FAR {far:.0e} becomes {count / len(strangers):.1e} ({count} pairs)")
    return tabulate(strangers, pairs(centred(embedded))[1], table.slope)


def write(block: str) -> None:
    """Replaces the block with the same heading in calibration.toml, or adds it."""
    path = Path(str(resources.files("shared.vision"))) / "calibration.toml"
    text = path.read_text(encoding="utf-8")
    old = re.compile(re.escape(block.splitlines()[0]) + r"\n.*?(?=\n\[|\Z)", re.DOTALL)
    text = old.sub(lambda _: block, text) if old.search(text) else f"{text.rstrip()}\n\n{block}"
    path.write_text(text, encoding="utf-8")


FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


@click.command(help=__doc__)
@click.argument("folder", type=FOLDER)
@click.option("--alike", type=FOLDER)
@click.option("--flip/--no-flip", default=EngineSettings().flip)
@click.option("--mesh/--no-mesh", default=True)
@click.option("--side", default=DetectorSettings().side)
@click.option("--cache", type=click.Path(file_okay=False, path_type=Path), help="keep the embeddings here")
@click.option("--write", "written", is_flag=True)
def main(
    folder: Path, alike: Path | None, flip: bool, mesh: bool, side: int, cache: Path | None, written: bool
) -> None:
    """Command line."""
    settings = EngineSettings(detector=DetectorSettings(side=side), mesh=mesh, flip=flip)
    engine = FaceEngine(Weights.load(), settings)
    name = f"{engine.model_id.replace('/', '-')}-{side}{'' if mesh else '-no-mesh'}"
    embedded = remembered(folder, engine, cache, name)
    mixed = report(embedded)
    blocks = [mixed.as_toml(engine.model_id, "mixed", f"{folder.name}, {len(embedded.people)} photos")]
    if alike:
        others = remembered(alike, engine, cache, name)
        table = compare(mixed, others)
        blocks.append(table.as_toml(engine.model_id, "alike", f"{alike.name}, {len(others.people)} photos"))
    for block in blocks:
        print(f"\n{block}")
        if written:
            write(block)


def remembered(folder: Path, engine: FaceEngine, cache: Path | None, name: str) -> Embedded:
    """The folder's embeddings, from the cache if they are there."""
    if cache is None:
        return embed(folder, engine)
    kept = cache / f"{folder.name}-{name}.npz"
    if kept.is_file():
        return Embedded.load(kept)
    embedded = embed(folder, engine)
    cache.mkdir(parents=True, exist_ok=True)
    embedded.save(kept)
    return embedded


if __name__ == "__main__":
    main()
