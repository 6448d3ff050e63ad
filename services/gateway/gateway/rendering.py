"""Templates and static files."""

import hashlib
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from gateway.words import Words

HERE: Final = Path(__file__).parent
FOREVER: Final = "public, max-age=31536000, immutable"
ASK_FIRST: Final = "no-cache"


class Statics(StaticFiles):
    """Files under /static. An address with the right hash may be kept for ever; any other is asked for again,
    which the ETag makes cheap: modules import each other without a hash."""

    def __init__(self, folder: Path) -> None:
        super().__init__(directory=folder)
        self._hashes = {
            path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()[:12]
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }

    def url(self, name: str) -> str:
        """The address of a file, with its hash. KeyError for a file that is not there."""
        return f"/static/{name}?v={self._hashes[name]}"

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        asked = scope.get("query_string", b"").decode("ascii", "replace")
        exact = asked == f"v={self._hashes.get(Path(path).as_posix())}"
        response.headers["Cache-Control"] = FOREVER if exact else ASK_FIRST
        return response


class Templates:
    """Renders pages; everything is escaped, an unknown name is an error."""

    def __init__(self, statics: Statics, zone: ZoneInfo) -> None:
        self._everywhere = {"static": statics.url, "zone": zone}

    def render(self, name: str, words: Words, **context: Any) -> str:
        """The page in this language."""
        return _environment().get_template(name).render(self._everywhere, t=words, **context)


@cache
def _environment() -> Environment:
    """One for the process: compiling the templates takes longer than everything else about a page."""
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(clock=_clock, day=_day, moment=_moment)
    return environment


@pass_context
def _clock(context: Context, moment: datetime) -> str:
    return f"{moment.astimezone(context['zone']):%H:%M:%S}"


@pass_context
def _day(context: Context, moment: datetime) -> str:
    return f"{moment.astimezone(context['zone']):%Y-%m-%d}"


@pass_context
def _moment(context: Context, moment: datetime) -> str:
    return f"{moment.astimezone(context['zone']):%Y-%m-%d %H:%M}"
