"""What the mirrored face is worth if visitors are looked at twice only in doubt; photos are enrolled with both looks.

    python -m bench.second_look LFW_FOLDER [--cache FOLDER]

In doubt is whose best cosine is near the threshold. Prints FNIR at a FPIR, and how many returning people and strangers
would be looked at twice, with the gallery's mean taken off (shared/vision/centring.py). The folder needs people with
one photo: they are the strangers.
"""

from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from bench.calibrate import remembered
from shared.evaluation.rates import OneToMany
from shared.vision.centring import Centre
from shared.vision.engine import EngineSettings, FaceEngine
from shared.vision.weights import Weights

Floats = NDArray[np.float32]
People = NDArray[np.intp]
Both = tuple[Floats, Floats]  # cosines of the returning people and of the strangers

FPIRS = (0.01, 0.003)
DOUBTS = (0.02, 0.05, 0.1)


def searched(gallery: Floats, probes: Floats) -> Floats:
    """Centred cosines, probes × gallery."""
    centre = Centre(gallery)
    return np.stack([centre.cosines(gallery @ probe, probe) for probe in probes])


def in_doubt(quick: Floats, careful: Floats, threshold: float, doubt: float) -> tuple[Floats, float]:
    """The careful row where the quick one's best is this near the threshold; and the share of such rows."""
    near = np.abs(quick.max(axis=1) - threshold) <= doubt
    return np.where(near[:, None], careful, quick), float(near.mean())


def rates(cosines: Both, gallery: People, people: People) -> OneToMany:
    """`gallery` and `people` number the columns and the rows of the returning."""
    returning, strangers = cosines
    right = gallery[returning.argmax(axis=1)] == people
    return OneToMany(strangers.max(axis=1), returning.max(axis=1), right, len(gallery))


@click.command(help=__doc__)
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--cache", type=click.Path(file_okay=False, path_type=Path), help="keep the embeddings here")
def main(folder: Path, cache: Path | None) -> None:
    """Command line."""
    engines = [FaceEngine(Weights.load(), EngineSettings(flip=flip)) for flip in (False, True)]
    plain, both = (remembered(folder, e, cache, e.model_id.replace("/", "-") + "-320") for e in engines)
    people, vectors = plain.people, plain.vectors
    stranger = np.bincount(people)[people] == 1
    first = np.zeros(len(people), bool)
    first[np.unique(people, return_index=True)[1]] = True
    enrolled, back = first & ~stranger, ~first & ~stranger
    gallery, columns, rows = both.vectors[enrolled], people[enrolled], people[back]
    single = searched(vectors[enrolled], vectors[back]), searched(vectors[enrolled], vectors[stranger])
    quick = searched(gallery, vectors[back]), searched(gallery, vectors[stranger])
    careful = searched(gallery, both.vectors[back]), searched(gallery, both.vectors[stranger])
    print("| FPIR | never | always | doubt | FNIR | returning twice | strangers twice |\n|---|---|---|---|---|---|---|")
    for fpir in FPIRS:
        never, always = (rates(cosines, columns, rows).fnir(fpir) for cosines in (single, careful))
        threshold = rates(quick, columns, rows).threshold(fpir)
        for doubt in DOUBTS:
            returning, again = in_doubt(quick[0], careful[0], threshold, doubt)
            strangers, strange = in_doubt(quick[1], careful[1], threshold, doubt)
            fnir = rates((returning, strangers), columns, rows).fnir(fpir)
            print(f"| {fpir:.1%} | {never:.2%} | {always:.2%} | ±{doubt} | {fnir:.2%} | {again:.0%} | {strange:.0%} |")


if __name__ == "__main__":
    main()
