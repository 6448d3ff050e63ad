"""Milliseconds of an exact search on one core, memory and load time, beside others on the same vectors in the same run.

    python -m bench.search [--rows 10000 --rows 1000000] [--vectors FILE.npy] [--rounds 10] [--hnsw-rows 100000]
    python -m bench.search --prove 100000
    python -m bench.search --rows 800000 --change 1000

Each candidate lives in a process of its own, whose resident memory is read at the end. They take turns, one search
each, so that other work on the machine hits all alike; the fastest turn counts. Times are the processor's: nobody here
uses two threads, so on an idle core they are the clock's. bench/README.md has the table.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Protocol

import click
import numpy as np
from numpy.typing import NDArray

DIMENSIONS = 128
PIECE = 10_000
BATCH = 32
BEST = 5
PROBES = 64
SINGLY = 128

Floats = NDArray[np.float32]
Ids = NDArray[np.int64]


class Candidate(Protocol):
    """Somebody who finds the BEST nearest."""

    def add(self, ids: Ids, vectors: Floats) -> None: ...
    def search(self, probes: Floats) -> Ids:
        """Q×BEST."""
        ...


class Rollcall:
    """What the recognizer uses."""

    def __init__(self, rows: int) -> None:
        from recognizer.nearest import Vectors

        self._vectors = Vectors(DIMENSIONS)

    def add(self, ids: Ids, vectors: Floats) -> None:
        self._vectors.add(ids, vectors)

    def search(self, probes: Floats) -> Ids:
        return self._vectors.search(probes, BEST)[1]


class Numpy:
    """One product with all."""

    def __init__(self, rows: int) -> None:
        self._matrix = np.empty((rows, DIMENSIONS), np.float32)

    def add(self, ids: Ids, vectors: Floats) -> None:
        self._matrix[ids] = vectors

    def search(self, probes: Floats) -> Ids:
        scores = probes @ self._matrix.T
        best = np.argpartition(scores, -BEST, axis=1)[:, -BEST:]
        order = np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1)
        return np.take_along_axis(best, order, axis=1)


class Faiss:
    """A flat index of faiss, by the name its factory knows."""

    def __init__(self, rows: int, factory: str) -> None:
        import faiss

        faiss.omp_set_num_threads(1)
        self._index = faiss.index_factory(DIMENSIONS, factory, faiss.METRIC_INNER_PRODUCT)

    def add(self, ids: Ids, vectors: Floats) -> None:
        if not self._index.is_trained:
            self._index.train(vectors)
        self._index.add(vectors)

    def search(self, probes: Floats) -> Ids:
        found: Ids = self._index.search(probes, BEST)[1]
        return found


class Usearch:
    """Its exact search over a matrix."""

    def __init__(self, rows: int) -> None:
        from usearch.index import MetricKind, search

        self._exact, self._metric = search, MetricKind.IP
        self._matrix = np.empty((rows, DIMENSIONS), np.float32)

    def add(self, ids: Ids, vectors: Floats) -> None:
        self._matrix[ids] = vectors

    def search(self, probes: Floats) -> Ids:
        found = self._exact(self._matrix, probes, BEST, self._metric, exact=True, threads=1)
        return np.asarray(found.keys, np.int64).reshape(len(probes), -1)


class Hnswlib:
    """A graph, the one here that is not exact by design: M 16, ef 200 and 100."""

    def __init__(self, rows: int) -> None:
        import hnswlib

        self._index = hnswlib.Index("ip", DIMENSIONS)
        self._index.init_index(rows, M=16, ef_construction=200)
        self._index.set_num_threads(1)
        self._index.set_ef(100)

    def add(self, ids: Ids, vectors: Floats) -> None:
        self._index.add_items(vectors, ids)

    def search(self, probes: Floats) -> Ids:
        return np.asarray(self._index.knn_query(probes, BEST)[0], np.int64)


CANDIDATES: dict[str, Callable[[int], Candidate]] = {
    "Rollcall": Rollcall,
    "NumPy f32": Numpy,
    "faiss IndexFlatIP": lambda rows: Faiss(rows, "Flat"),
    "faiss fp16": lambda rows: Faiss(rows, "SQfp16"),
    "faiss SQ8": lambda rows: Faiss(rows, "SQ8"),
    "usearch exact f32": Usearch,
    "hnswlib": Hnswlib,
}


@dataclass(frozen=True)
class Source:
    """Vectors made piece by piece, the same for everybody."""

    rows: int
    real: Path | None

    def pieces(self) -> Iterator[tuple[Ids, Floats]]:
        """Ids from 0 and unit vectors: random, or a real one and half of another, which is nobody yet."""
        for start in range(0, self.rows, PIECE):
            count = min(PIECE, self.rows - start)
            yield np.arange(start, start + count), self.some(count, start)

    def some(self, count: int, seed: int) -> Floats:
        """Unit vectors of the kind."""
        rng = np.random.default_rng(seed)
        if self.real is None:
            return unit(rng.standard_normal((count, DIMENSIONS), dtype=np.float32))
        real = np.load(self.real).astype(np.float32)
        one, other = rng.integers(0, len(real), (2, count))
        return unit(unit(real)[one] + np.float32(0.5) * unit(real)[other])

    def probes(self, count: int) -> Floats:
        """By turns somebody's next photo, at a cosine of about 0.6, and a stranger."""
        _, first = next(self.pieces())
        known = first[np.arange(count) * 7 % len(first)]
        next_photo = unit(known + np.float32(1.33) * unit(np.random.default_rng(1).standard_normal(known.shape)))
        return np.where(np.arange(count)[:, None] % 2, self.some(count, 10**9), next_photo).astype(np.float32)


def unit(vectors: NDArray[np.floating]) -> Floats:
    """Each divided by its length."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / lengths, np.float32)


def scan(source: Source, probes: Floats) -> tuple[Floats, Ids]:
    """The definition: scores (Q, BEST) and ids of a scan of everything, piece by piece."""
    from recognizer.nearest import scores

    found = np.full((len(probes), 0), 0, np.float32)
    best = np.empty((len(probes), 0), np.int64)
    for ids, vectors in source.pieces():
        rough = probes @ vectors.T
        near = np.argpartition(rough, -4 * BEST, axis=1)[:, -4 * BEST :]  # f32 errs by less than so many ranks
        exact = np.stack([scores(vectors[rows], probe) for rows, probe in zip(near, probes, strict=True)])
        found, best = np.hstack([found, exact]), np.hstack([best, ids[near]])
        order = np.lexsort((best, -found), axis=1)[:, :BEST]
        found, best = np.take_along_axis(found, order, axis=1), np.take_along_axis(best, order, axis=1)
    return found, best


def child(pipe: Connection, name: str, source: Source) -> None:
    """Load, then answer: how many probes from where → seconds and ids; nothing → resident bytes, and the end."""
    candidate = CANDIDATES[name](source.rows)
    seconds = 0.0
    for ids, vectors in source.pieces():
        start = time.process_time()
        candidate.add(ids, vectors)
        seconds += time.process_time() - start
    probes = source.probes(PROBES)
    pipe.send(seconds)
    while (asked := pipe.recv()) is not None:
        some = probes[asked]
        start = time.process_time()
        found = candidate.search(some)
        pipe.send((time.process_time() - start, found))
    status = Path("/proc/self/status").read_text()
    pipe.send(int(status.split("VmRSS:")[1].split()[0]) * 1024)


@dataclass
class Row:
    """What was measured of one candidate."""

    load_s: float
    single_s: float = np.inf
    stranger_s: float = np.inf
    batch_s: float = np.inf
    right: int = 0
    asked: int = 0
    memory: int = 0


def measure(source: Source, names: list[str], rounds: int) -> dict[str, Row]:
    """All candidates take turns."""
    truth = scan(source, source.probes(PROBES))[1][:, 0]
    spawn, pipes, rows = get_context("spawn"), {}, {}
    for name in names:
        pipes[name], theirs = spawn.Pipe()
        spawn.Process(target=child, args=(theirs, name, source), daemon=True).start()
        rows[name] = Row(load_s=pipes[name].recv())
        print(f"  {name} loaded in {rows[name].load_s:.1f} s", file=sys.stderr)

    def ask(name: str, part: slice) -> float:
        pipes[name].send(part)
        seconds, found = pipes[name].recv()
        rows[name].right += int((found[:, 0] == truth[part]).sum())
        rows[name].asked += len(found)
        return float(seconds)

    for turn in range(rounds):
        for name, row in rows.items():
            at = 2 * turn % (PROBES - 1)
            row.single_s = min(row.single_s, ask(name, slice(at, at + 1)))
            row.stranger_s = min(row.stranger_s, ask(name, slice(at + 1, at + 2)))
            start = turn % (PROBES // BATCH) * BATCH
            row.batch_s = min(row.batch_s, ask(name, slice(start, start + BATCH)) / BATCH)
    for name, pipe in pipes.items():
        pipe.send(None)
        rows[name].memory = pipe.recv()
    return rows


def table(rows: dict[str, Row]) -> Iterator[str]:
    """Markdown: milliseconds, and how many times as long as ours."""
    ours = rows["Rollcall"]
    yield "| | known face ms | stranger ms | of 32, each ms | memory MB | load s | recall@1 |"
    yield "|---|---|---|---|---|---|---|"
    for name, row in rows.items():
        cells = [
            f"{1e3 * mine:.2f} ({mine / our:.1f}×)"
            for mine, our in (
                (row.single_s, ours.single_s),
                (row.stranger_s, ours.stranger_s),
                (row.batch_s, ours.batch_s),
            )
        ]
        tail = [f"{row.memory / 1e6:.0f}", f"{row.load_s:.1f}", f"{row.right / row.asked:.3f}"]
        yield f"| {' | '.join([name, *cells, *tail])} |"


def differing(found: tuple[Floats, Ids], want: tuple[Floats, Ids]) -> int:
    """Probes whose ids or scores are not those wanted."""
    return int(((found[0] != want[0]) | (found[1] != want[1])).any(axis=1).sum())


def prove(source: Source, probes: int) -> None:
    """Scores and ids of many probes, 1,024 together and SINGLY of them again alone, against a scan of all."""
    from recognizer.nearest import Vectors

    vectors = Vectors(DIMENSIONS)
    for ids, some in source.pieces():
        vectors.add(ids, some)
    wrong = done = 0
    while done < probes:
        part = source.some(1_024, 10**9 + done)
        want = scan(source, part)
        wrong += differing(vectors.search(part, BEST), want)
        for number in range(SINGLY):
            one = slice(number, number + 1)
            wrong += differing(vectors.search(part[one], BEST), (want[0][one], want[1][one]))
        done += len(part)
        print(f"{done} probes among {source.rows}: {wrong} differ", flush=True)
    if wrong:
        sys.exit(1)


def change(source: Source, changes: int) -> None:
    """Milliseconds to add one and to remove one, median and worst; each must be seen by the next search."""
    from recognizer.nearest import Vectors

    vectors = Vectors(DIMENSIONS)
    for ids, some in source.pieces():
        vectors.add(ids, some)
    times = np.zeros((changes, 2))
    for number, vector in enumerate(source.some(changes, 10**9)):
        new, old = np.array([source.rows + number]), np.array([7 * number])
        start = time.perf_counter()
        vectors.add(new, vector[None])
        added = time.perf_counter()
        vectors.remove(old)
        times[number] = added - start, time.perf_counter() - added
        if number % 50 == 0:
            assert vectors.search(vector[None], 1)[1][0, 0] == new[0]
            assert old[0] not in vectors
    for name, took in zip(("add", "remove"), 1e3 * times.T, strict=True):
        print(f"{name} one among {source.rows}: median {np.median(took):.3f} ms, worst {took.max():.1f} ms")


@click.command()
@click.option("--rows", type=int, multiple=True, default=(10_000, 100_000, 1_000_000))
@click.option("--vectors", type=click.Path(exists=True, path_type=Path), help="real embeddings, N×128, as .npy")
@click.option("--rounds", type=int, default=10)
@click.option("--core", type=int, default=0, help="the processor core that all share")
@click.option("--hnsw-rows", type=int, default=100_000, help="hnswlib takes minutes to build above that")
@click.option("--without", type=click.Choice(list(CANDIDATES)), multiple=True, help="leave out")
@click.option("--prove", "probes", type=int, default=0, help="compare so many probes with a scan instead")
@click.option("--change", "changes", type=int, default=0, help="time so many additions and removals instead")
def main(
    rows: tuple[int, ...],
    vectors: Path | None,
    rounds: int,
    core: int,
    hnsw_rows: int,
    without: tuple[str, ...],
    probes: int,
    changes: int,
) -> None:
    """Compare searches on one core."""
    os.sched_setaffinity(0, {core})
    for count in rows:
        source = Source(count, vectors)
        if probes:
            prove(source, probes)
        if changes:
            change(source, changes)
        if probes or changes:
            continue
        left_out = {*without, *(["hnswlib"] if count > hnsw_rows else [])}
        names = [name for name in CANDIDATES if name not in left_out]
        print(f"\n{count:,} vectors, one core\n")
        print("\n".join(table(measure(source, names, rounds))), flush=True)


if __name__ == "__main__":
    for threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(threads, "1")
    os.environ.setdefault("MALLOC_MMAP_THRESHOLD_", str(2**20))  # else glibc keeps what was freed: up to 30 MB more
    main()
