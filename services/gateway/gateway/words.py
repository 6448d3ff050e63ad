"""What the pages say: Chinese first, English beside it. The texts live in words/*.toml."""

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from shared.errors import RollcallError

FOLDER = Path(__file__).parent / "words"
DEFAULT: Final = "zh"
HTML_LANG: Final = {"zh": "zh-CN", "en": "en"}


class Words:
    """The texts of one language: `words("register.title")`, with `{name}` places filled from keywords."""

    def __init__(self, lang: str, table: Mapping[str, str]) -> None:
        self.lang, self.table = lang, table
        self.html_lang = HTML_LANG[lang]

    def __call__(self, key: str, **values: object) -> str:
        text = self.table[key]
        return text.format(**values) if values else text

    def get(self, key: str, otherwise: str) -> str:
        """For a key that is put together from what others wrote, who may be newer."""
        return self.table.get(key, otherwise)

    def pick(self, zh: str, en: str) -> str:
        """Whichever of the two sentences this language reads."""
        return zh if self.lang == "zh" else en

    def of(self, error: RollcallError) -> str:
        """An error's words."""
        return self.pick(error.zh, error.en)

    def for_scripts(self) -> dict[str, str]:
        """The texts that the pages' scripts show."""
        prefix = "script."
        return {key.removeprefix(prefix): text for key, text in self.table.items() if key.startswith(prefix)}


def load_words() -> dict[str, Words]:
    """Every language, by its code."""
    return {lang: Words(lang, _read(FOLDER / f"{lang}.toml")) for lang in HTML_LANG}


def choose_language(asked: str | None, remembered: str | None, accepted: str) -> str:
    """The language to speak: what was clicked, else the cookie, else the browser's list, else Chinese."""
    for choice in (asked, remembered):
        if choice in HTML_LANG:
            return choice
    return next((lang for lang in _by_preference(accepted) if lang in HTML_LANG), DEFAULT)


def _by_preference(accepted: str) -> list[str]:
    """Primary tags of an Accept-Language header, most wanted first; entries with q=0 are not wanted at all."""
    wanted = []
    for part in accepted[:400].split(","):
        tag, _, weight = part.partition(";")
        quality = _quality(weight)
        if quality > 0:
            wanted.append((-quality, tag.strip().partition("-")[0].lower()))
    return [tag for _, tag in sorted(wanted, key=lambda entry: entry[0])]


def _quality(weight: str) -> float:
    try:
        return float(weight.strip().removeprefix("q=") or 1)
    except ValueError:
        return 0.0


def _read(path: Path) -> dict[str, str]:
    return dict(_flat(tomllib.loads(path.read_text("utf-8"))))


def _flat(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", str(value)
