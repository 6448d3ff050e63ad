"""`rollcall eval`: the error rates of this installation on a folder of photos."""

from pathlib import Path

import click

from shared.evaluation.folder import Embedded, NoFaces, embed, photos
from shared.evaluation.report import Section, sections
from shared.vision.engine import EngineSettings, FaceEngine
from shared.vision.weights import WeightError, Weights

REPORT = "report.md"


def evaluate(folder: Path, out: Path | None, *, flip: bool) -> None:
    """Print the tables; with `out`, write them and the plots there. Raises a ClickException."""
    try:
        engine = FaceEngine(Weights.load(), EngineSettings(flip=flip))
        embedded = _embedded(folder, engine)
    except (NoFaces, WeightError) as error:
        raise click.ClickException(str(error)) from None
    found = sections(embedded, engine.model_id)
    text = _markdown(folder.name, engine.model_id, embedded, found)
    click.echo(text)
    if out is not None:
        _write(out, text, found)


def _embedded(folder: Path, engine: FaceEngine) -> Embedded:
    total = sum(1 for _ in photos(folder))
    with click.progressbar(length=total, label=f"{total} photos", show_pos=True) as bar:
        return embed(folder, engine, seen=lambda: bar.update(1))


def _markdown(name: str, model_id: str, embedded: Embedded, found: list[Section]) -> str:
    owners = len(set(embedded.people.tolist()))
    of = f"in {owners} folders" if embedded.scores else f"of {owners:,} people"
    head = f"# {name}\n\nModel `{model_id}`. {len(embedded.people):,} photos {of}"
    return f"{head}, {embedded.without_face} without a face.\n\n" + "\n".join(one.as_markdown() for one in found)


def _write(out: Path, text: str, found: list[Section]) -> None:
    out.mkdir(parents=True, exist_ok=True)
    (out / REPORT).write_text(text, encoding="utf-8")
    for section in found:
        for name, plot in section.plots.items():
            (out / name).write_text(plot, encoding="utf-8")
    click.echo(f"Written to {out}")
