"""Pages of a long list."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

LAST_PAGE = 10_000


@dataclass(frozen=True, slots=True)
class Pager:
    """One page of `size` rows among `total`; `query` is kept in every link."""

    page: int
    size: int
    total: int
    query: Mapping[str, str]

    @property
    def pages(self) -> int:
        return max(1, -(-self.total // self.size))

    @property
    def first(self) -> int:
        """Number of the first row shown, counted from one."""
        return min(self.total, (self.page - 1) * self.size + 1)

    @property
    def last(self) -> int:
        return min(self.total, self.page * self.size)

    def link(self, page: int) -> str:
        """The address of another page."""
        kept = {name: value for name, value in self.query.items() if value}
        return "?" + urlencode({**kept, "page": page})


def page_number(text: str) -> int:
    """The page that was asked for; 1 for anything that is no page."""
    return min(int(text), LAST_PAGE) if text.isascii() and text.isdigit() and len(text) < 7 and int(text) else 1
