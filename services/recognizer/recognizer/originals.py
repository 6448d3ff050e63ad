"""The f32 vectors behind the codes: on disk, not in memory, and unreadable to whoever finds the disk."""

import os
import tempfile
import weakref
from pathlib import Path

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Rows = NDArray[np.int64]

FIRST_ROWS = 65_536


class Originals:
    """N×D f32 in a nameless temporary file: AES-256-CTR, no counter used twice, a key that dies with the process.

    Faces at rest are encrypted everywhere in Rollcall, so here too. What is read often stays in the system's file
    cache, which it takes back when memory is short.
    """

    def __init__(self, dimensions: int, folder: Path | None = None) -> None:
        """`folder` is where the file lies, the system's temporary one by default: 512 MB for a million of 128 each.

        `dimensions` is a multiple of 4: whole blocks of the cipher. OSError if no file can be made.
        """
        self._file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115 - lives as long as this
        weakref.finalize(self, self._file.close)
        self._dimensions = dimensions
        self._bytes = 4 * dimensions
        self._cipher = Cipher(algorithms.AES(os.urandom(32)), modes.CTR(bytes(16))).encryptor()
        self._writes = np.zeros(FIRST_ROWS, np.uint32)

    def read(self, rows: Rows) -> Floats:
        """len(rows)×D. OSError if the disk fails."""
        file, size = self._file.fileno(), self._bytes
        plain = bytearray()
        for row, write in zip(rows.tolist(), self._writes[rows].tolist(), strict=True):
            sealed = os.pread(file, size, row * size)
            if len(sealed) != size:
                raise OSError(f"row {row} of the vectors' file is cut off")
            plain += self._crypt(row, write, sealed)
        return np.frombuffer(plain, np.float32).reshape(-1, self._dimensions)

    def write(self, rows: Rows, vectors: Floats) -> None:
        """Rows need not be there yet. OSError if the disk is full: then none of these rows can be trusted."""
        if not len(rows):
            return
        if (top := int(rows.max()) + 1) > len(self._writes):
            self._writes = np.concatenate([self._writes, np.zeros(max(top, len(self._writes)), np.uint32)])
        self._writes[rows] += np.uint32(1)
        writes = self._writes[rows]
        first, write = int(rows[0]), int(writes[0])
        if np.array_equal(rows, np.arange(first, first + len(rows))) and (writes == write).all():
            self._put(first, self._crypt(first, write, vectors.tobytes()))
            return
        for row, write, vector in zip(rows.tolist(), writes.tolist(), vectors, strict=True):
            self._put(row, self._crypt(row, write, vector.tobytes()))

    def cut(self, rows: int) -> None:
        """Forget all from row `rows` on."""
        os.ftruncate(self._file.fileno(), rows * self._bytes)

    def close(self) -> None:
        """Give the disk space back."""
        self._file.close()

    def _crypt(self, row: int, write: int, block: bytes) -> bytes:
        """Either way, from the start of `row`. The counter is the row's write, then the place in the file."""
        self._cipher.reset_nonce((write << 96 | row * self._bytes // 16).to_bytes(16, "big"))
        return self._cipher.update(block)

    def _put(self, row: int, block: bytes) -> None:
        at = row * self._bytes
        while block:  # the system may take less than it is given
            done = os.pwrite(self._file.fileno(), block, at)
            block, at = block[done:], at + done
