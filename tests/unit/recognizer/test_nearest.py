"""Whatever is added, replaced and removed, and however it is stored, the answer is that of a scan of all."""

import math
import resource
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from numpy.typing import NDArray

from recognizer import codes as codes_module
from recognizer.codes import ASKS, LONGEST, REACH_4, ROUNDING, TOGETHER, Codes
from recognizer.nearest import GONE, Places, Vectors, scores
from recognizer.originals import Originals

Floats = NDArray[np.float32]
Ids = NDArray[np.int64]

KINDS = ("random", "alike", "equal", "spiked", "nothing", "crossed")


def unit(vectors: NDArray[np.generic]) -> Floats:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.maximum(lengths, 1e-30)).astype(np.float32)


def some(kind: str, count: int, seed: int, dimensions: int = 128) -> Floats:
    """Vectors as they come, and as they had better not come."""
    rng = np.random.default_rng(seed)
    normal = rng.standard_normal((count, dimensions))
    if kind == "alike":  # photos of a few people
        return unit(unit(rng.standard_normal((5, dimensions)))[rng.integers(0, 5, count)] + 0.02 * normal)
    if kind == "equal":
        return np.repeat(unit(normal[:1]), count, axis=0)
    if kind == "spiked":  # one component has it all: no code of ours reaches so far
        return np.eye(dimensions, dtype=np.float32)[rng.integers(0, dimensions, count)] * np.float32(0.999)
    if kind == "nothing":
        return (normal * 1e-7).astype(np.float32) * rng.integers(0, 2, (count, 1)).astype(np.float32)
    if kind == "crossed":  # four components of ±1/2: between any two only nine scores
        vectors = np.zeros((count, dimensions), np.float32)
        np.put_along_axis(vectors, normal.argsort(axis=1)[:, :4], np.sign(normal[:, :4]) / 2, axis=1)
        return vectors
    return unit(normal)


def scan(truth: dict[int, Floats], probe: Floats, k: int) -> tuple[Floats, Ids]:
    """The definition."""
    ids = np.array(list(truth), np.int64)
    found = scores(np.stack(list(truth.values())), probe)
    order = np.lexsort((ids, -found))[:k]
    return found[order], ids[order]


def agrees(vectors: Vectors, truth: dict[int, Floats], probes: Floats, k: int) -> None:
    found, ids = vectors.search(probes, k)
    for probe, its_scores, its_ids in zip(probes, found, ids, strict=True):
        want_scores, want_ids = scan(truth, probe, k)
        np.testing.assert_array_equal(its_ids, want_ids)
        np.testing.assert_array_equal(its_scores, want_scores)


class History(RuleBasedStateMachine):
    """Any history, by turns in memory and as codes: the limit between them lies within reach."""

    @initialize(plain_rows=st.sampled_from([0, 40, 10**6]), dimensions=st.sampled_from([8, 128]))
    def begin(self, plain_rows: int, dimensions: int) -> None:
        self.vectors, self.dimensions = Vectors(dimensions, plain_rows=plain_rows), dimensions
        self.truth: dict[int, Floats] = {}

    @rule(kind=st.sampled_from(KINDS), count=st.integers(0, 60), seed=st.integers(0, 99), far=st.booleans())
    def add(self, kind: str, count: int, seed: int, far: bool) -> None:
        ids = np.random.default_rng(seed).permutation(400)[:count] - (2**62 if far else 50)
        ids = np.array([number for number in ids.tolist() if number not in self.truth], np.int64)
        new = some(kind, len(ids), seed, self.dimensions)
        self.vectors.add(ids, new)
        self.truth |= dict(zip(ids.tolist(), new, strict=True))

    @rule(share=st.floats(0, 1), seed=st.integers(0, 99))
    def remove(self, share: float, seed: int) -> None:
        ids = np.random.default_rng(seed).permutation(sorted(self.truth))[: int(share * len(self.truth))]
        self.vectors.remove(ids.astype(np.int64))
        for number in ids.tolist():
            del self.truth[number]

    @rule(kind=st.sampled_from(KINDS), count=st.integers(0, 9), seed=st.integers(0, 99))
    def replace(self, kind: str, count: int, seed: int) -> None:
        ids = np.random.default_rng(seed).permutation(sorted(self.truth))[:count].astype(np.int64)
        new = some(kind, len(ids), seed + 100, self.dimensions)
        self.vectors.replace(ids, new)
        self.truth |= dict(zip(ids.tolist(), new, strict=True))

    @rule(
        kind=st.sampled_from(KINDS),
        count=st.sampled_from([1, 3, TOGETHER]),
        k=st.integers(1, 50),
        seed=st.integers(0, 99),
    )
    def search(self, kind: str, count: int, k: int, seed: int) -> None:
        probes = unit(some(kind, count, seed, self.dimensions) + 1e-9)
        if self.truth:
            there = list(self.truth.values())[seed % len(self.truth)]
            probes[0] = there if np.linalg.norm(there) > 0.9999 else probes[0]
            agrees(self.vectors, self.truth, probes, k)

    @rule(seed=st.integers(0, 99), k=st.integers(1, 9))
    def search_among(self, seed: int, k: int) -> None:
        rng = np.random.default_rng(seed)
        ids = rng.permutation(sorted(self.truth))[: len(self.truth) // 2].astype(np.int64)
        probe = some("random", 1, seed, self.dimensions)
        found, best = self.vectors.search(probe, k, among=np.concatenate([ids, ids[:3]]))
        if len(ids):
            want_scores, want_ids = scan({number: self.truth[number] for number in ids.tolist()}, probe[0], k)
            np.testing.assert_array_equal(best[0], want_ids)
            np.testing.assert_array_equal(found[0], want_scores)
        else:
            assert best.shape == (1, 0)

    @invariant()
    def holds_what_it_was_given(self) -> None:
        if not hasattr(self, "truth"):
            return
        ids = np.array(sorted(self.truth), np.int64)
        assert len(self.vectors) == len(ids)
        np.testing.assert_array_equal(np.sort(self.vectors.ids), ids)
        if len(ids):
            np.testing.assert_array_equal(self.vectors.vectors(ids), np.stack([self.truth[i] for i in ids.tolist()]))

    def teardown(self) -> None:
        if hasattr(self, "vectors"):
            self.vectors.close()


History.TestCase.settings = settings(
    max_examples=25, stateful_step_count=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
TestHistory = History.TestCase


@pytest.fixture(scope="module")
def many() -> Iterator[tuple[Vectors, Floats, Ids]]:
    """More than one 4-bit scan asks for, of every kind, ids in no order, after some were taken away."""
    every = np.concatenate([some("random", 30_000, 1), *(some(kind, 2_000, 2) for kind in KINDS)])
    ids = np.random.default_rng(3).permutation(len(every)).astype(np.int64)
    vectors = Vectors(plain_rows=10_000)
    vectors.add(ids[:9_000], every[:9_000])
    vectors.add(ids[9_000:], every[9_000:])
    vectors.remove(ids[:500])
    yield vectors, every[500:], ids[500:]
    vectors.close()


@pytest.mark.parametrize("k", [1, 5, 100])
@pytest.mark.parametrize("together", [1, TOGETHER + 1])
def test_codes_answer_as_a_scan(many: tuple[Vectors, Floats, Ids], k: int, together: int) -> None:
    vectors, every, ids = many
    near = unit(every[[5, 30_100, 33_000]] + 0.03 * some("random", 3, 4))
    probes = np.concatenate([near, some("random", 3, 5), some("crossed", 2, 2), unit(some("spiked", 1, 6))])
    for start in range(0, len(probes), together):
        found, best = vectors.search(probes[start : start + together], k)
        for probe, its_scores, its_ids in zip(probes[start:], found, best, strict=False):
            want = scores(every, probe)
            order = np.lexsort((ids, -want))[:k]
            np.testing.assert_array_equal(its_ids, ids[order])
            np.testing.assert_array_equal(its_scores, want[order])


def test_the_scan_is_what_answers(many: tuple[Vectors, Floats, Ids], monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a scan that never proves anything would pass all tests, slowly."""
    vectors, every, ids = many
    monkeypatch.delattr(Codes, "_by_product")
    assert vectors.search(every[7:8], 2)[1][0, 0] == ids[7]


@pytest.mark.parametrize("kind", KINDS)
def test_no_error_exceeds_its_bound(kind: str) -> None:
    vectors = some(kind, ASKS[0] + 100, 1)
    store, rows = Codes(128), np.arange(len(vectors))
    store.write(rows, vectors)
    ordinary = ~store._odd[: len(rows)]
    for probe in np.concatenate([unit(vectors[:2] + 1e-9), some("random", 2, 2), some("crossed", 2, 4)]):
        true = vectors.astype(np.float64) @ probe
        estimates, errors = store.estimates(rows, probe)
        assert (np.abs(estimates - true) <= errors).all()
        found, at_most = store._scan.search(probe, ASKS[0])
        proven = at_most + (REACH_4 * LONGEST + ROUNDING)
        assert (true[found] <= proven)[ordinary[found]].all()
        unseen = np.setdiff1d(rows[ordinary], found)
        assert (true[unseen] <= proven[-1]).all()
    store.close()


def test_random_vectors_are_hardly_ever_odd() -> None:
    store = Codes(128)
    store.write(np.arange(20_000), some("random", 20_000, 1))
    assert store._odd[:20_000].mean() < 0.004
    store.close()


def test_the_blocks_are_those_of_faiss() -> None:
    """We write its packed codes in place: its own packer must read the same."""
    nibbles = np.random.default_rng(1).integers(0, 16, (100, 128)).astype(np.uint8)
    scan_of_100 = codes_module.FourBitScan(128, np.linspace(-0.3, 0.3, 16, dtype=np.float32))
    scan_of_100.make_room(100)
    for rows in np.array_split(np.random.default_rng(2).permutation(100), 7):
        scan_of_100.write(rows, nibbles[rows])
    index = scan_of_100._index
    blocks = codes_module.faiss.rev_swig_ptr(index.codes.get(), 4 * 2_048).reshape(4, 2_048)
    for row, want in enumerate(nibbles):
        flat = index.get_CodePacker().unpack_1(blocks, row)
        np.testing.assert_array_equal(np.stack([flat & 15, flat >> 4], axis=1).ravel(), want)


@pytest.mark.parametrize("kind", KINDS)
def test_a_score_is_the_sum_rounded_once(kind: str) -> None:
    vectors = some(kind, 40, 1)
    for probe in some("random", 5, 2):
        found = scores(vectors, probe)
        for vector, score in zip(vectors, found, strict=True):
            exact = math.fsum(float(a) * float(b) for a, b in zip(vector, probe, strict=True))
            assert abs(float(score) - exact) <= 2**-24 * abs(exact) + 1e-16
            assert scores(vector[None], probe)[0] == score  # whoever stands beside it


def test_equal_scores_lower_id_first() -> None:
    vectors = Vectors(plain_rows=20)
    for ids in (np.arange(30, 20, -1), np.arange(20, 0, -1)):
        vectors.add(ids, some("equal", len(ids), 1))
        assert vectors.search(some("random", 1, 2), 3)[1].tolist() == [sorted(vectors.ids.tolist())[:3]]
    vectors.close()


def test_more_asked_than_there_are() -> None:
    vectors = Vectors()
    assert [part.shape for part in vectors.search(some("random", 2, 1), 5)] == [(2, 0), (2, 0)]
    vectors.add(np.array([7, 3]), some("random", 2, 1))
    assert [part.shape for part in vectors.search(some("random", 4, 2), 5)] == [(4, 2), (4, 2)]
    assert vectors.search(np.empty((0, 128), np.float32), 5)[1].shape == (0, 2)


def test_cosines_of_some() -> None:
    vectors = Vectors(plain_rows=10)
    every = some("random", 50, 1)
    vectors.add(np.arange(50), every)
    ids = np.array([40, 3, 17])
    np.testing.assert_array_equal(vectors.cosines(every[3], ids), scores(every[ids], every[3]))
    vectors.close()


def test_what_is_unfit_changes_nothing() -> None:
    vectors, one = Vectors(), some("random", 1, 1)
    vectors.add(np.array([1]), one)
    for ids, new in (
        (np.array([1]), one),
        (np.array([2, 2]), np.repeat(one, 2, axis=0)),
        (np.array([2]), one * np.float32(1.01)),
        (np.array([2]), one * np.float32("nan")),
        (np.array([2]), one[:, :64]),
        (np.array([2]), one.astype(np.float64)),
        (np.array([2, 3]), one),
    ):
        with pytest.raises(ValueError, match=r"needed|already"):
            vectors.add(ids, new)
    with pytest.raises(ValueError, match="needed"):
        vectors.search(one / 2, 1)
    for call in (
        lambda: vectors.remove(np.array([1, 9])),
        lambda: vectors.replace(np.array([9]), one),
        lambda: vectors.cosines(one[0], np.array([9])),
        lambda: vectors.search(one, 1, among=np.array([1, 9])),
    ):
        with pytest.raises(KeyError, match="9"):
            call()
    assert vectors.ids.tolist() == [1]
    assert 1 in vectors
    assert 9 not in vectors
    with pytest.raises(ValueError, match="dimensions"):
        Vectors(130)


def test_a_full_disk_leaves_what_was_there() -> None:
    vectors, every = Vectors(plain_rows=0), some("random", 20, 1)
    vectors.add(np.arange(10), every[:10])
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (12 * 512 + 100, before[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            vectors.add(np.arange(10, 20), every[10:])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    agrees(vectors, dict(enumerate(every[:10])), every[9:12], 20)
    vectors.add(np.arange(10, 20), every[10:])
    agrees(vectors, dict(enumerate(every)), every[9:12], 20)
    vectors.close()


def test_originals_are_unreadable_on_disk(tmp_path: Path) -> None:
    originals, vectors = Originals(128, tmp_path), some("random", 3, 1)
    originals.write(np.arange(3), vectors)
    sealed = originals._file.seek(0) or originals._file.read()
    originals.write(np.array([2, 0]), vectors[[2, 0]])
    again = originals._file.seek(0) or originals._file.read()
    assert len(sealed) == vectors.nbytes
    assert vectors[0].tobytes()[:16] not in sealed
    assert sealed[:512] != again[:512]  # the same vector, another counter
    assert sealed[512:1024] == again[512:1024]
    assert list(tmp_path.iterdir()) == []
    np.testing.assert_array_equal(originals.read(np.array([2, 1])), vectors[[2, 1]])
    originals.cut(1)
    with pytest.raises(OSError, match="cut off"):
        originals.read(np.array([2]))
    originals.close()


@given(st.lists(st.tuples(st.lists(st.integers(-5, 40), unique=True, max_size=12), st.booleans()), max_size=12))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_places_are_a_dict(changes: list[tuple[list[int], bool]]) -> None:
    places, truth = Places(), {}
    places.CHANGES = 15  # type: ignore[misc] - so that a few fill it
    for turn, (ids, gone) in enumerate(changes):
        rows = [GONE] * len(ids) if gone else [100 * turn + number for number in ids]
        places.put(np.array(ids, np.int64), np.array(rows, np.int64))
        truth |= dict(zip(ids, rows, strict=True))
        assert places.find(np.arange(-7, 45)).tolist() == [truth.get(number, GONE) for number in range(-7, 45)]
