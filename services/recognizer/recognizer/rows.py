"""Row numbers for a database's ids, so that what belongs to an id can stand in compact columns."""

from array import array

import numpy as np
from numpy.typing import NDArray

PAGE = 4_096
NOWHERE = -1


class Rows:
    """Ids ≥ 0 to rows 0, 1, 2 …; the row of an id that left is given to the next.

    A database counts its ids up, so they lie close together, and pages of rows take 4 bytes an id where a dict
    takes 100. A page without ids is dropped.
    """

    def __init__(self) -> None:
        self.ids = array("q")
        """by row; NOWHERE in a free row"""
        self._free = array("i")
        self._pages: dict[int, array[int]] = {}

    def __len__(self) -> int:
        return len(self.ids) - len(self._free)

    def find(self, number: int) -> int:
        """The row of an id, or NOWHERE."""
        page = self._pages.get(number // PAGE)
        return NOWHERE if page is None else page[number % PAGE]

    def take(self, number: int) -> int:
        """A row for an id that has none: a free one, or one more than there were."""
        if self._free:
            row = self._free.pop()
            self.ids[row] = number
        else:
            row = len(self.ids)
            self.ids.append(number)
        page = self._pages.get(number // PAGE)
        if page is None:
            page = self._pages[number // PAGE] = array("i", [NOWHERE]) * PAGE
            page.append(0)  # how many ids it holds
        page[number % PAGE] = row
        page[PAGE] += 1
        return row

    def free(self, row: int) -> None:
        """Forget the id of a row."""
        number = self.ids[row]
        self._pages[number // PAGE][number % PAGE] = NOWHERE
        self._fewer(number // PAGE, 1)
        self.ids[row] = NOWHERE
        self._free.append(row)

    def free_all(self, rows: NDArray[np.int32]) -> None:
        """Forget the ids of many rows, each named once."""
        ids = np.frombuffer(self.ids, np.int64)
        numbers = np.sort(ids[rows])
        ids[rows] = NOWHERE
        pages, starts = np.unique(numbers // PAGE, return_index=True)
        for page, places in zip(pages.tolist(), np.split(numbers % PAGE, starts[1:]), strict=False):
            np.frombuffer(self._pages[page], np.int32)[places] = NOWHERE
            self._fewer(page, len(places))
        self._free.frombytes(rows.astype(np.int32).tobytes())

    def _fewer(self, number: int, count: int) -> None:
        page = self._pages[number]
        page[PAGE] -= count
        if not page[PAGE]:
            del self._pages[number]
