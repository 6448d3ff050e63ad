"""/live and WS /feed: who may watch, and what is seen."""

from datetime import UTC, datetime

import httpx
import pytest
from fastapi import FastAPI

from shared.security import make_ticket
from shared.testing import eventually
from tests.unit.gateway.pages.gateway_double import SECRET, GatewayDouble
from tests.unit.gateway.pages.sockets import Refused, watching

LINE = {"type": "result", "verdict": "identified", "name": "王小明", "event": "e1", "at": "2026-01-01T08:00:00+08:00"}
TICKET = make_ticket(SECRET, "wall", 86_400)


def cookies_of(browser: httpx.AsyncClient) -> str:
    return "; ".join(f"{name}={value}" for name, value in browser.cookies.items())


async def test_the_wall_needs_a_login_or_a_ticket(browser: httpx.AsyncClient) -> None:
    turned = await browser.get("/live")
    assert (turned.status_code, turned.headers["location"]) == (303, "/office/login?next=/live")
    assert (await browser.get("/live", params={"ticket": TICKET})).status_code == 200


@pytest.mark.parametrize(
    "ticket",
    [
        "",
        "nonsense",
        make_ticket(SECRET, "setup", 86_400),
        make_ticket("other", "wall", 60),
        make_ticket(SECRET, "wall", -1),
    ],
    ids=["none", "nonsense", "another kind", "another secret", "run out"],
)
async def test_a_ticket_must_hold(browser: httpx.AsyncClient, app: FastAPI, ticket: str) -> None:
    answer = await browser.get("/live", params={"ticket": ticket})
    assert answer.status_code == 403
    assert "大屏链接无效或已过期" in answer.text
    with pytest.raises(Refused):
        async with watching(app, f"/feed?ticket={ticket}"):
            pass


async def test_the_office_sees_the_wall_with_todays_count(office: httpx.AsyncClient, gateway: GatewayDouble) -> None:
    person = gateway.registry.add_student("1", "王小明", "一班")
    gateway.registry.add_punch(person, "东门", datetime.now(UTC))
    page = await office.get("/live")
    assert 'data-punches="1"' in page.text


async def test_the_wall_opens_although_the_registry_is_away(browser: httpx.AsyncClient, gateway: GatewayDouble) -> None:
    gateway.registry.is_away = True
    page = await browser.get("/live", params={"ticket": TICKET})
    assert page.status_code == 200
    assert 'data-punches=""' in page.text


async def test_lines_arrive_as_they_happen(app: FastAPI, gateway: GatewayDouble) -> None:
    gateway.feed.say({**LINE, "event": "before"})
    async with watching(app, f"/feed?ticket={TICKET}") as viewer:
        await viewing(gateway)
        gateway.feed.say(LINE)
        assert await viewer.hear() == LINE
    await nobody(gateway)


async def test_a_page_just_opened_asks_for_the_recent_ones(app: FastAPI, gateway: GatewayDouble) -> None:
    gateway.feed.say(LINE)
    async with watching(app, f"/feed?recent=1&ticket={TICKET}") as viewer:
        assert await viewer.hear() == {"type": "recent", "items": [LINE]}


async def test_the_feed_needs_a_right_to_watch(app: FastAPI) -> None:
    with pytest.raises(Refused):
        async with watching(app, "/feed"):
            pass


async def test_the_offices_session_opens_the_feed(
    app: FastAPI, office: httpx.AsyncClient, gateway: GatewayDouble
) -> None:
    async with watching(app, "/feed?recent=1", cookie=cookies_of(office)) as viewer:
        assert await viewer.hear() == {"type": "recent", "items": []}


async def test_a_session_of_an_old_password_does_not(
    app: FastAPI, office: httpx.AsyncClient, gateway: GatewayDouble
) -> None:
    gateway.registry.password_id += 1
    with pytest.raises(Refused):
        async with watching(app, "/feed", cookie=cookies_of(office)):
            pass


async def test_a_viewer_whose_right_has_ended_is_sent_away(
    app: FastAPI, office: httpx.AsyncClient, gateway: GatewayDouble
) -> None:
    app.state.site.check_viewers_s = 0.05
    async with watching(app, "/feed", cookie=cookies_of(office)) as viewer:
        await viewing(gateway)
        gateway.registry.is_away = True
        assert await viewer.hear() == {"type": "alive"}, "a registry that restarts is no reason"
        gateway.registry.is_away, gateway.registry.password_id = False, 9
        while (heard := await viewer.hear()) == {"type": "alive"}:
            pass
        assert heard == {"closed": 1008}


async def test_another_sites_page_may_not_read_the_feed(app: FastAPI, office: httpx.AsyncClient) -> None:
    with pytest.raises(Refused):
        async with watching(app, "/feed", cookie=cookies_of(office), origin="https://evil.example"):
            pass
    async with watching(app, "/feed?recent=1", cookie=cookies_of(office), origin="http://localhost") as viewer:
        assert (await viewer.hear())["type"] == "recent"


async def viewing(gateway: GatewayDouble) -> None:
    async def one() -> bool:
        return gateway.feed.viewers == 1

    await eventually(one)


async def nobody(gateway: GatewayDouble) -> None:
    async def none() -> bool:
        return gateway.feed.viewers == 0

    await eventually(none, what="the viewer that left is forgotten")
