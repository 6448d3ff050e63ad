"""The punches of a day, on a page and as a spreadsheet."""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, timedelta
from urllib.parse import urlencode

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from gateway.office.paging import Pager, page_number
from gateway.policies import office_session
from gateway.site import Site, TheSite
from gateway.words import Words
from shared.contracts.attendance import PunchesOfDay, PunchRow

ROWS = 100
CHUNK = 2_000
"""Rows asked of the registry at a time for a spreadsheet."""
FILTERS = ("text", "class_name", "place")
TEXT = 128
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
BOM = "\N{BYTE ORDER MARK}"
"""Without it Excel takes UTF-8 for the local code page."""


def punch_pages() -> APIRouter:
    """The routes."""
    router = APIRouter(prefix="/punches", dependencies=[Depends(office_session)])
    router.add_api_route("", punches, methods=["GET"])
    router.add_api_route("/csv", spreadsheet, methods=["GET"])
    return router


async def punches(request: Request, site: TheSite) -> Response:
    """A page of a day's punches."""
    day, asked = _asked(request, site)
    page = page_number(request.query_params.get("page", ""))
    found = await site.gateway.bus.ask(PunchesOfDay(day=day, **asked, offset=(page - 1) * ROWS, limit=ROWS))
    query = {"day": day.isoformat(), **asked}
    pager = Pager(page, ROWS, found.total, query)
    if page > pager.pages:
        return site.redirect("/office/punches" + pager.link(pager.pages))
    days = _days_around(day, site.today().date())
    csv_link = "/office/punches/csv?" + urlencode({name: value for name, value in query.items() if value})
    return site.form_page(
        request, "punches.html", found=found, day=day, asked=asked, pager=pager, days=days, csv_link=csv_link
    )


async def spreadsheet(request: Request, site: TheSite) -> Response:
    """All punches that match, as CSV."""
    day, asked = _asked(request, site)
    rows = await _all(site, day, asked)
    text = BOM + _csv(_lines(rows, site, site.words(request)))
    name = f"rollcall-{day.isoformat()}.csv"
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store, private"}
    return Response(text.encode(), headers=headers, media_type="text/csv; charset=utf-8")


def _asked(request: Request, site: Site) -> tuple[date, dict[str, str]]:
    """(day, filters) of a request; today for anything that is no day."""
    asked = {name: request.query_params.get(name, "").strip()[:TEXT] for name in FILTERS}
    try:
        day = date.fromisoformat(request.query_params.get("day", ""))
    except ValueError:
        day = site.today().date()
    return day, asked


def _days_around(day: date, today: date) -> dict[str, str]:
    """The days that the page's arrows lead to; none before the calendar begins or after today."""
    around = {"before": (day - timedelta(days=1)).isoformat() if day > date.min else ""}
    around["after"] = (day + timedelta(days=1)).isoformat() if day < today else ""
    around["today"] = today.isoformat() if day != today else ""
    return around


async def _all(site: Site, day: date, asked: Mapping[str, str]) -> list[PunchRow]:
    """Every matching row once: a punch made meanwhile moves the others down, so pages may overlap."""
    rows: dict[int, PunchRow] = {}
    offset, total = 0, 1
    while offset < total:
        page = await site.gateway.bus.ask(PunchesOfDay(day=day, **asked, offset=offset, limit=CHUNK))
        rows.update({row.punch_id: row for row in page.rows})
        offset, total = offset + CHUNK, page.total
    return list(rows.values())


def _lines(rows: Iterable[PunchRow], site: Site, words: Words) -> Iterator[list[str]]:
    yield [words(f"column.{name}") for name in ("date", "time", "num", "name", "class", "place", "score")]
    for row in rows:
        at = row.captured_at.astimezone(site.zone)
        when = [f"{at:%Y-%m-%d}", f"{at:%H:%M:%S}"]
        yield [*when, row.num, row.name, row.class_name, row.place, f"{row.score:.1f}"]


def _csv(lines: Iterable[list[str]]) -> str:
    sheet = io.StringIO()
    csv.writer(sheet).writerows([_harmless(cell) for cell in line] for line in lines)
    return sheet.getvalue()


def _harmless(cell: str) -> str:
    """A spreadsheet would run a cell that begins like a formula; an apostrophe makes it text."""
    return "'" + cell if cell.lstrip().startswith(FORMULA) or cell.startswith(FORMULA) else cell
