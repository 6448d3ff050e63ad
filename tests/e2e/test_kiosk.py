"""A stranger's first quarter of an hour: open the page, register with the camera, clock in, look at the office."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Page, expect

from shared.security import make_ticket
from tests.browsers import browser, camera_film, watched
from tests.systems import Site, a_site, data_url, photos, register, rows, web_client

WAIT_MS = 15_000


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def system(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    async with a_site(tmp_path_factory.mktemp("kiosk") / "data") as running:
        yield running


pytestmark = pytest.mark.asyncio(loop_scope="module")


async def fill_in(page: Page, num: str, name: str) -> None:
    await page.fill("[name=stu_name]", name)
    await page.fill("[name=stu_class]", "三年二班")
    await page.fill("[name=stu_num]", num)
    await page.check("[name=gender][value=WOMAN]")
    await page.check("[name=consent]")


async def test_register_with_the_camera_then_clock_in_with_another_look(system: Site, tmp_path: Path) -> None:
    first, second = photos()["Jacinda Ardern"][:2]
    film = camera_film(tmp_path / "first.mjpeg", [first])
    async with browser(film) as context, watched(context) as page:
        await page.goto(f"{system.running.url}/")
        await page.get_by_role("link", name="注册").first.click()
        await page.click("#tkpicture", timeout=WAIT_MS)
        await fill_in(page, "2026001", "阿德恩")
        await page.click("#submit")
        await page.wait_for_url(f"{system.running.url}/", timeout=WAIT_MS)
        await expect(page.get_by_text("阿德恩").first).to_be_visible()
    assert rows(system, "select st_name, st_num, st_gender from students") == [("阿德恩", "2026001", "WOMAN")]

    film = camera_film(tmp_path / "second.mjpeg", [second])
    async with browser(film) as context, watched(context) as page:
        await page.goto(f"{system.running.url}/clockin?place=东门")
        await expect(page.locator("#banner_name")).to_have_text("阿德恩", timeout=WAIT_MS)
        await expect(page.locator("#banner_state")).to_contain_text("已打卡", timeout=WAIT_MS)
        await expect(page.locator("#show_result")).to_contain_text("识别成功：阿德恩")
    assert rows(system, "select st_num, place from punches") == [("2026001", "东门")]


async def test_a_stranger_is_refused(system: Site, tmp_path: Path) -> None:
    film = camera_film(tmp_path / "stranger.mjpeg", [photos()["Rishi Sunak"][0]])
    before = len(rows(system, "select 1 from punches"))
    async with browser(film) as context, watched(context) as page:
        await page.goto(f"{system.running.url}/clockin")
        await expect(page.locator("#show_result")).to_contain_text("识别失败", timeout=WAIT_MS)
        await expect(page.locator("#show_result")).to_contain_text("222207")
        await expect(page.locator("#banner")).to_be_hidden()
    assert len(rows(system, "select 1 from punches")) == before


async def test_without_a_websocket_pictures_go_by_post(system: Site, tmp_path: Path) -> None:
    """As behind a proxy that knows no WebSockets."""
    async with web_client(system) as web:
        await register(web, "2026002", "Macron", photos()["Emmanuel Macron"][0])
    film = camera_film(tmp_path / "macron.mjpeg", [photos()["Emmanuel Macron"][1]])
    async with browser(film) as context, watched(context) as page:
        await page.route_web_socket("**/stream", lambda socket: socket.close())
        await page.goto(f"{system.running.url}/clockin")
        await expect(page.locator("#show_result")).to_contain_text("识别成功：Macron", timeout=WAIT_MS)
        await expect(page.locator("#banner_state")).to_contain_text("打", timeout=WAIT_MS)


async def test_without_a_camera_the_page_says_so_and_takes_an_upload(system: Site, tmp_path: Path) -> None:
    async with web_client(system) as web:
        await register(web, "2026003", "Obama", photos()["Barack Obama"][0])
    picture = tmp_path / "obama.jpg"
    picture.write_bytes(photos()["Barack Obama"][1])
    async with browser(None) as context, watched(context) as page:
        await page.goto(f"{system.running.url}/clockin")
        await expect(page.get_by_text("摄像头").first).to_be_visible(timeout=WAIT_MS)
        await page.set_input_files("#upload", picture)
        await expect(page.locator("#show_result")).to_contain_text("识别成功：Obama", timeout=WAIT_MS)


async def test_the_page_speaks_english_to_who_reads_english(system: Site, tmp_path: Path) -> None:
    film = camera_film(tmp_path / "any.mjpeg", [photos()["Joe Biden"][0]])
    async with browser(film, locale="en-US") as context, watched(context) as page:
        await page.goto(f"{system.running.url}/")
        await expect(page.locator("html")).to_have_attribute("lang", "en")
        await expect(page.get_by_role("link", name="Clock in").first).to_be_visible()


async def test_the_live_wall_and_the_office(system: Site, tmp_path: Path) -> None:
    """The wall shows a punch as it happens; the office sees it, deletes the student, and the face is a stranger's."""
    faces = photos()["Emmanuel Macron"]
    async with browser(None) as context, web_client(system) as web:
        await register(web, "2026002", "Macron", faces[0])
        async with watched(context) as wall:
            ticket = make_ticket(system.keys.web, "wall", 600)
            await wall.goto(f"{system.running.url}/live?ticket={ticket}")
            await clock_in(web, faces[1], "操场")
            await expect(wall.get_by_text("Macron").first).to_be_visible(timeout=WAIT_MS)
            await expect(wall.get_by_text("操场").first).to_be_visible(timeout=WAIT_MS)
        async with watched(context) as office:
            await open_office(office, system)
            await office.goto(f"{system.running.url}/office/punches")
            await expect(office.get_by_role("cell", name="操场")).to_be_visible()
            await office.goto(f"{system.running.url}/office/students")
            await office.get_by_role("link", name="Macron").first.click()
            await office.get_by_text("删除").first.click()
            await office.get_by_role("button", name="删除").click()
            await expect(office.get_by_text("Macron").first).to_be_visible()
        assert rows(system, "select 1 from students where st_num = '2026002'") == []
        assert (await clock_in(web, faces[1], "操场"))["errno"] == 222207


async def clock_in(web, jpeg: bytes, place: str) -> dict[str, object]:  # type: ignore[no-untyped-def]
    answer: dict[str, object] = (await web.post("/clockin", json={"img_data": data_url(jpeg), "place": place})).json()
    return answer


async def open_office(page: Page, system: Site) -> None:
    """The first visit sets the password."""
    ticket = make_ticket(system.keys.web, "setup", 600)
    await page.goto(f"{system.running.url}/office/setup?ticket={ticket}")
    for field in await page.locator("input[type=password]").all():
        await field.fill("correct horse battery")
    await page.get_by_role("button").last.click()
    await page.wait_for_url("**/office/**")
