"""Vectors as 8-bit and 4-bit codes with proven bounds: what a scan of a million reads instead of f32.

An inner product with a code is off by at most the length of what the code leaves out (Cauchy–Schwarz). So a scan can
leave out every vector whose estimate lies so far below the best that no error could bring it up, and be certain. All
others are looked at more closely, at the end in f32. Data never seen before cannot make that wrong, only slow.
Nothing is trained.
"""

from pathlib import Path
from typing import Any

import faiss
import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from recognizer.originals import Originals

Floats = NDArray[np.float32]
Rows = NDArray[np.int64]
Bytes = NDArray[np.uint8]

LONGEST = 1.001
"""the longest vector and probe taken: unit length and what f32 makes of it"""

ROUNDING = 2e-5
"""bound for the f32 arithmetic of an estimate: 128 products and sums at 2^-24 each give 0.8e-5"""

STEP = np.float32(1 / 320)
"""of the 8-bit codes, which reach ±0.397. A component of SFace has a deviation of 0.088; in LFW none is above 0.45"""

LEVELS = (np.array([0.14, 0.42, 0.72, 1.04, 1.41, 1.85, 2.45, 3.43]) / 128**0.5).astype(np.float32)
"""of the 4-bit codes, and their negatives: Lloyd's for Student's t of 14 degrees, a twentieth wider. For a normal
component the mean error would be less with Lloyd's for a normal one (0.094, not 0.103), but 20 times as many odd"""

REACH_8, REACH_4 = 0.012, 0.1225
"""length left out by the 8- and the 4-bit code, which 0.2 % of LFW and of random vectors exceed; those, the odd ones,
are looked at in every search"""

ASKS, BEST = (8_192, 32_768), 64
"""rows asked of the 4-bit scan, then of a second one if those did not suffice (4 of 16 random probes, best
five of a million); how many of them, at least, tell the score that all others must reach"""

TOGETHER = 8
"""probes from which the 8-bit product of all at once is faster than 4-bit scans"""

BLOCK = 2_048
"""rows multiplied at once: codes and products (128 kB per 16 probes) stay in the processor's second cache"""

SAMPLE, GROUP = 32, 16
"""blocks whose best, in groups of rows, tell what is worth keeping"""

FIRST_ROWS, GROWTH = 65_536, 1 / 32
"""The arrays grow by so much, in place where the system can move pages, so the room kept ready is small."""


class Codes:
    """Rows of `dimensions` components, a multiple of 4, in 1.5 bytes each, their f32 on disk. Rows count from 0."""

    def __init__(self, dimensions: int, folder: Path | None = None) -> None:
        self._dimensions = dimensions
        self._count = 0
        self._codes: Bytes = np.empty((0, dimensions), np.uint8)
        self._left_out: Floats = np.empty(0, np.float32)
        self._odd: NDArray[np.bool_] = np.empty(0, np.bool_)
        self._levels = np.concatenate([-LEVELS[::-1], LEVELS])
        middles = (self._levels[1:] + self._levels[:-1]) / 2
        self._nibble = np.searchsorted(middles, np.arange(-128, 128) * STEP).astype(np.uint8)
        self._scan = FourBitScan(dimensions, self._levels)
        self._product = _product_session(dimensions)
        self._originals = Originals(dimensions, folder)

    def write(self, rows: Rows, vectors: Floats) -> None:
        """Set rows, old ones or the next ones."""
        if not len(rows):
            return
        self._make_room(int(rows.max()) + 1)
        self._originals.write(rows, vectors)
        steps = np.clip(np.rint(vectors / STEP), -127, 127)
        codes = (steps + 128).astype(np.uint8)
        nibbles = self._nibble[codes]
        left_out_8 = np.linalg.norm(vectors - steps * STEP, axis=1) + ROUNDING
        left_out_4 = np.linalg.norm(vectors - self._levels[nibbles], axis=1) + ROUNDING
        self._codes[rows] = codes
        self._left_out[rows] = left_out_8
        self._odd[rows] = (left_out_8 > REACH_8) | (left_out_4 > REACH_4)
        self._scan.write(rows, nibbles)

    def move(self, sources: Rows, targets: Rows) -> None:
        """Copy rows over others."""
        self._originals.write(targets, self._originals.read(sources))
        for column in (self._codes, self._left_out, self._odd):
            column[targets] = column[sources]
        self._scan.write(targets, self._nibble[self._codes[sources]])

    def cut(self, rows: int) -> None:
        """Keep the first `rows` rows."""
        self._count = self._scan.count = rows
        self._originals.cut(rows)

    def read(self, rows: Rows) -> Floats:
        """The vectors as they came."""
        return self._originals.read(rows)

    def close(self) -> None:
        """Give back the disk space."""
        self._originals.close()

    def estimates(self, rows: Rows, probe: Floats) -> tuple[Floats, Floats]:
        """Inner products of some rows, and by how much each may be off."""
        steps = (self._codes.take(rows, axis=0) ^ np.uint8(128)).view(np.int8).astype(np.float32)
        return steps @ (probe * STEP), self._left_out[rows] * np.float32(LONGEST) + np.float32(ROUNDING)

    def shortlists(self, probes: Floats, k: int) -> list[Rows]:
        """For each of the Q×D probes, rows among which its k best surely are."""
        if len(probes) >= TOGETHER:
            return self._by_product(probes, k)
        return [self._by_scan(probe, k) for probe in probes]

    def _by_scan(self, probe: Floats, k: int) -> Rows:
        """Over the 4-bit codes; over the 8-bit ones if what was asked for did not reach far enough down."""
        for ask in ASKS:
            if 4 * k > ask or self._count <= ask:
                break
            found, at_most = self._scan.search(probe, ask)
            estimates, errors = self.estimates(found[: max(4 * k, BEST)], probe)
            floor = kth_largest(estimates - errors, k)
            possible = at_most + (REACH_4 * LONGEST + ROUNDING) >= floor
            if not possible[-1]:
                return self._with_odd(found[possible])
        return self._by_product(probe[None], k)[0]

    def _with_odd(self, rows: Rows) -> Rows:
        return np.concatenate([rows[~self._odd[rows]], np.flatnonzero(self._odd[: self._count])])

    def _by_product(self, probes: Floats, k: int) -> list[Rows]:
        """Over the 8-bit codes of all rows, a block at a time."""
        scales = np.abs(probes).max(axis=1) / np.float32(127)
        whole = np.rint(probes / scales[:, None])
        lost = np.linalg.norm(probes - whole * scales[:, None], axis=1)
        units = scales * STEP
        # Twice: a row's estimate may be as much too low as the floor's is too high.
        reach = np.ceil(2 * (REACH_8 * LONGEST + 1.02 * lost + ROUNDING) / units).astype(np.int32)
        feed = np.ascontiguousarray(whole.T.astype(np.int8))
        floors = self._sampled(feed, k) - reach
        tiled = np.tile(floors, (BLOCK, 1))
        hits, values = [], []
        for start in range(0, self._count, BLOCK):
            products = self._block(start, feed)
            flat = np.flatnonzero(products >= tiled[: len(products)])
            values.append(products.ravel()[flat])
            hits.append(flat + start * len(probes))
        hit, value = np.concatenate(hits), np.concatenate(values)
        rows, columns = np.divmod(hit, len(probes))
        order = np.argsort(columns, kind="stable")
        parts = np.split(order, np.searchsorted(columns[order], np.arange(1, len(probes))))
        return [
            self._with_odd(rows[part[value[part] >= kth_largest(value[part], k) - below]])
            for part, below in zip(parts, reach, strict=True)
        ]

    def _sampled(self, feed: NDArray[np.int8], k: int) -> NDArray[np.int32]:
        """Products that k rows surely reach, for each probe; the least of all numbers if there is no telling."""
        best = [
            self._block(start, feed).reshape(-1, GROUP, feed.shape[1]).max(axis=1)
            for start in range(0, min(SAMPLE * BLOCK, self._count - BLOCK + 1), BLOCK)
        ]
        if not best or k > len(best) * len(best[0]):
            return np.full(feed.shape[1], NOTHING, np.int32)
        found: NDArray[np.int32] = np.partition(np.concatenate(best), -k, axis=0)[-k]
        return found

    def _block(self, start: int, feed: NDArray[np.int8]) -> NDArray[np.int32]:
        """Products of a block of rows; NOTHING for the odd ones."""
        rows = slice(start, min(start + BLOCK, self._count))
        products: NDArray[np.int32] = self._product.run(None, {"codes": self._codes[rows], "probes": feed})[0]
        if (odd := self._odd[rows]).any():
            products[odd] = NOTHING
        return products

    def _make_room(self, count: int) -> None:
        self._count = self._scan.count = max(self._count, count)
        if count > len(self._odd):
            room = max(count, FIRST_ROWS, int(len(self._odd) * (1 + GROWTH)))
            self._codes.resize((room, self._dimensions), refcheck=False)
            self._left_out.resize(room, refcheck=False)
            self._odd.resize(room, refcheck=False)
        self._scan.make_room(count)


NOTHING = np.int32(-(2**30))
"""below every product, and far from the least int32, so that a reach can be taken off"""


class FourBitScan:
    """Faiss's scan of 4-bit codes held in registers, with its codes written in place.

    Faiss can add to such an index, but not change or remove. Its blocks hold 32 rows: byte `PLACE[row % 16]` of the 16
    of a component has row `row` of the first half in its low bits and that of the second half in its high bits.
    """

    PLACE = np.array([0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15])

    def __init__(self, dimensions: int, levels: Floats) -> None:
        self._levels = levels
        self._dimensions = dimensions
        # Any: the stubs of faiss leave out half of what is used here.
        self._index: Any = faiss.IndexPQFastScan(dimensions, dimensions, 4, faiss.METRIC_INNER_PRODUCT)
        faiss.copy_array_to_vector(np.tile(levels, dimensions), self._index.pq.centroids)
        self._index.is_trained = True
        self._table = faiss.AlignedTableUint8(dimensions * 16)

    @property
    def count(self) -> int:
        """Rows that are searched."""
        return int(self._index.ntotal)

    @count.setter
    def count(self, rows: int) -> None:
        self._index.ntotal = rows
        self._index.ntotal2 = -(-rows // 32) * 32

    def make_room(self, rows: int) -> None:
        """For so many rows. Faiss rounds up to a power of two; what is not written takes no memory."""
        size = -(-rows // 32) * 16 * self._dimensions
        if size > self._index.codes.size():
            self._index.codes.resize(size)

    def write(self, rows: Rows, nibbles: Bytes) -> None:
        """Set the codes, 0 to 15, of rows there is room for."""
        size = self._index.codes.size()
        blocks = faiss.rev_swig_ptr(self._index.codes.get(), size).reshape(-1, self._dimensions, 16)
        second = rows % 32 >= 16
        for half, kept, shift in ((~second, 0xF0, 0), (second, 0x0F, 4)):
            at = rows[half] // 32, slice(None), self.PLACE[rows[half] % 16]
            blocks[at] = blocks[at] & np.uint8(kept) | nibbles[half] << np.uint8(shift)

    def search(self, probe: Floats, ask: int) -> tuple[Rows, Floats]:
        """`ask` rows, best first, and what the inner products of their 4-bit vectors cannot exceed.

        Those of all other rows cannot exceed the last one.
        """
        scores, rows = self._index.search(probe[None], ask)
        return rows[0], scores[0] + np.float32(self._table_error(probe))

    def _table_error(self, probe: Floats) -> float:
        """The most that the scan's table, 8 bits an entry, can make a row of less than it is."""
        scale_and_offset = np.zeros(2, np.float32)
        self._index.compute_quantized_LUT(
            1,
            faiss.swig_ptr(probe),
            self._table.get(),
            faiss.swig_ptr(scale_and_offset),
            faiss.FastScanDistancePostProcessing(),  # type: ignore[attr-defined]
        )
        scale, offset = scale_and_offset.tolist()
        table = faiss.rev_swig_ptr(self._table.get(), self._dimensions * 16).reshape(-1, 16)
        missing = np.outer(probe.astype(np.float64), self._levels) - table / scale
        return float(missing.max(axis=1).sum()) - offset


def kth_largest(values: NDArray[np.generic], k: int) -> float:
    """-inf if there are fewer than k."""
    return float(np.partition(values, -k)[-k]) if len(values) >= k else -np.inf


def _product_session(dimensions: int) -> onnxruntime.InferenceSession:
    """codes N×D u8 (128 is zero), probes D×Q i8 → N×Q i32, on one core: `MatMulInteger`, exact."""
    types = onnx.TensorProto
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("MatMulInteger", ["codes", "probes", "zero"], ["products"])],
        "products",
        [value("codes", types.UINT8, ["rows", dimensions]), value("probes", types.INT8, [dimensions, "probes"])],
        [value("products", types.INT32, ["rows", "probes"])],
        [onnx.helper.make_tensor("zero", types.UINT8, [], [128])],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=9)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
