"""GET/POST /register: the seed's form, its three sentences and their reasons."""

import base64

import httpx
import pytest
from fastapi import FastAPI

from gateway.app import create_app
from gateway.challenge import make_proof
from gateway.clockin import PictureRefused
from gateway.throttle import Rate, Rates
from shared.contracts.people import Gender
from shared.contracts.recognition import Problem
from shared.errors import Conflict, Unavailable
from tests.unit.gateway.pages.conftest import ENGLISH, browser_at
from tests.unit.gateway.pages.gateway_double import SECRET, GatewayDouble
from tests.unit.gateway.pages.sockets import watching

PICTURE = b"\xff\xd8\xff some picture"
DATA_URL = "data:image/png;base64," + base64.b64encode(PICTURE).decode()
FORM = {
    "stu_name": "王小明",
    "stu_class": "高一(2)班",
    "stu_num": "2025_01",
    "gender": "MAN",
    "img_data": DATA_URL,
    "consent": "yes",
}


async def test_a_complete_form_registers_and_goes_home_with_a_word(
    browser: httpx.AsyncClient, gateway: GatewayDouble
) -> None:
    answer = await browser.post("/register", data=FORM)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    ((form, picture),) = gateway.recognition.enrolled
    assert (form.num, form.name, form.class_name, form.gender) == ("2025_01", "王小明", "高一(2)班", Gender.MAN)
    assert picture == PICTURE
    home = await browser.get("/")
    assert "王小明 注册成功，现在可以打卡了" in home.text
    assert "注册成功" not in (await browser.get("/")).text, "said once"


async def test_a_face_that_is_not_everywhere_yet_is_said(browser: httpx.AsyncClient, gateway: GatewayDouble) -> None:
    gateway.recognition.searchable = False
    await browser.post("/register", data=FORM)
    assert "识别端正在更新" in (await browser.get("/")).text


async def test_a_file_upload_does_as_well(browser: httpx.AsyncClient, gateway: GatewayDouble) -> None:
    fields = {**FORM, "img_data": ""}
    answer = await browser.post("/register", data=fields, files={"photo": ("me.jpg", PICTURE, "image/jpeg")})
    assert answer.status_code == 303
    assert gateway.recognition.enrolled[0][1] == PICTURE


async def test_multipart_without_a_chosen_file_takes_the_cameras_picture(
    browser: httpx.AsyncClient, gateway: GatewayDouble
) -> None:
    answer = await browser.post("/register", data=FORM, files={"photo": ("", b"", "application/octet-stream")})
    assert answer.status_code == 303
    assert gateway.recognition.enrolled[0][1] == PICTURE


@pytest.mark.parametrize(
    ("field", "word"),
    [("stu_name", "姓名"), ("stu_class", "班级"), ("stu_num", "学号"), ("gender", "性别"), ("img_data", "照片")],
)
async def test_a_missing_field_is_named(browser: httpx.AsyncClient, field: str, word: str) -> None:
    answer = await browser.post("/register", data={**FORM, field: "  "})
    assert answer.status_code == 200
    assert f"信息不全,请重新填写：缺少{word}" in answer.text


async def test_all_gaps_are_named_at_once(browser: httpx.AsyncClient) -> None:
    answer = await browser.post("/register", data={"stu_name": "王", "consent_asked": "1"})
    assert "信息不全,请重新填写" in answer.text
    assert "缺少班级、学号、性别、照片" in answer.text
    assert "请阅读并勾选" in answer.text


async def test_the_seeds_own_form_which_knows_no_consent_still_registers(
    browser: httpx.AsyncClient, gateway: GatewayDouble
) -> None:
    answer = await browser.post("/register", data={name: text for name, text in FORM.items() if name != "consent"})
    assert answer.status_code == 303
    assert gateway.recognition.enrolled


async def test_consent_is_needed(browser: httpx.AsyncClient, gateway: GatewayDouble) -> None:
    answer = await browser.post("/register", data={**FORM, "consent": "", "consent_asked": "1"})
    assert "信息不全,请重新填写：请阅读并勾选“同意保存人脸照片”" in answer.text
    assert not gateway.recognition.enrolled


async def test_the_cloud_is_only_spoken_of_where_pictures_go_there(
    browser: httpx.AsyncClient, gateway: GatewayDouble
) -> None:
    assert "百度" not in (await browser.get("/register")).text
    gateway.recognition.pictures_leave = True
    page = (await browser.get("/register")).text
    assert 'name="cloud_consent"' in page
    assert "我同意将我的人脸照片和学号发送到百度云" in page
    assert "不外传" not in page


@pytest.mark.parametrize("given", [{}, {"cloud_consent": "no"}, {"cloud_consent": ""}])
async def test_nothing_goes_to_the_cloud_without_a_consent_of_its_own(
    browser: httpx.AsyncClient, gateway: GatewayDouble, given: dict[str, str]
) -> None:
    """The seed's own form included, which knows no consent at all."""
    gateway.recognition.pictures_leave = True
    answer = await browser.post("/register", data={**FORM, **given})
    assert "请阅读并勾选“同意照片发送到百度云”" in answer.text
    assert not gateway.recognition.enrolled
    answer = await browser.post("/register", data={**FORM, "cloud_consent": "yes"})
    assert answer.status_code == 303
    assert gateway.recognition.enrolled


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("stu_num", "20-25", "学号只能用数字、字母和下划线，最长 128 位"),
        ("stu_num", "二〇二五", "学号只能用数字、字母和下划线，最长 128 位"),
        ("stu_num", "1" * 129, "学号只能用数字、字母和下划线，最长 128 位"),
        ("stu_num", "1' OR '1'='1", "学号只能用数字、字母和下划线，最长 128 位"),
        ("stu_name", "王" * 129, "姓名应为 1–128 个字"),
        ("stu_name", "王\x00明", "姓名应为 1–128 个字"),
        ("stu_class", "班" * 129, "班级应为 1–128 个字"),
        ("gender", "男", "性别只能是男或女"),
    ],
)
async def test_a_field_that_breaks_its_rule_is_named(
    browser: httpx.AsyncClient, gateway: GatewayDouble, field: str, value: str, reason: str
) -> None:
    answer = await browser.post("/register", data={**FORM, field: value})
    assert f"信息不对, 请重新填写：{reason}" in answer.text
    assert 'aria-invalid="true"' in answer.text
    assert not gateway.recognition.enrolled


async def test_a_number_that_is_taken(browser: httpx.AsyncClient, gateway: GatewayDouble) -> None:
    gateway.registry.add_student("2025_01", "别人", "高一(1)班")
    answer = await browser.post("/register", data=FORM)
    assert "信息不对, 请重新填写：学号 2025_01 已被使用" in answer.text
    assert len(gateway.registry.students) == 1


async def test_every_problem_of_a_picture_is_told(browser: httpx.AsyncClient, gateway: GatewayDouble) -> None:
    dark, blurred = Problem(code=1, zh="太暗了", en="too dark"), Problem(code=2, zh="太模糊", en="blurred")
    gateway.recognition.refusal = PictureRefused((dark, blurred))
    answer = await browser.post("/register", data=FORM)
    assert "图片不符合要求, 请重新拍照" in answer.text
    assert "太暗了" in answer.text
    assert "太模糊" in answer.text
    assert DATA_URL not in answer.text, "a refused photo is not offered again"


async def test_one_problem_stands_beside_the_sentence(browser: httpx.AsyncClient, gateway: GatewayDouble) -> None:
    gateway.recognition.refusal = PictureRefused((Problem(code=1, zh="没有看到人脸", en="no face"),))
    answer = await browser.post("/register", data=FORM)
    assert "图片不符合要求, 请重新拍照：没有看到人脸" in answer.text


async def test_a_face_that_is_known_already_is_the_pictures_fault(
    browser: httpx.AsyncClient, gateway: GatewayDouble
) -> None:
    gateway.recognition.refusal = Conflict("这张脸已经登记过了", "known", field="img_data")
    answer = await browser.post("/register", data=FORM)
    assert "图片不符合要求, 请重新拍照：这张脸已经登记过了" in answer.text


@pytest.mark.parametrize(
    "broken",
    ["garbage", "data:image/png;base64,", "data:image/png;base64,%%%", "data:text/html;base64,AAAA", "data:,hello"],
)
async def test_a_broken_picture(browser: httpx.AsyncClient, gateway: GatewayDouble, broken: str) -> None:
    answer = await browser.post("/register", data={**FORM, "img_data": broken})
    assert "图片不符合要求, 请重新拍照：照片" in answer.text
    assert not gateway.recognition.enrolled


async def test_a_picture_beyond_ten_megabytes(browser: httpx.AsyncClient, gateway: GatewayDouble) -> None:
    photo = {"photo": ("big.jpg", b"\xff" * (10 * 2**20 + 1), "image/jpeg")}
    answer = await browser.post("/register", data={**FORM, "img_data": ""}, files=photo)
    assert "图片不符合要求, 请重新拍照：提交的内容超过 10 MB" in answer.text
    assert not gateway.recognition.enrolled


async def test_what_was_typed_stays_and_so_does_the_photo(browser: httpx.AsyncClient) -> None:
    answer = await browser.post("/register", data={**FORM, "stu_num": ""})
    assert 'value="王小明"' in answer.text
    assert 'value="高一(2)班"' in answer.text
    assert 'value="MAN" checked' in answer.text
    assert 'value="yes" required checked' in answer.text
    assert f'value="{DATA_URL}"' in answer.text


async def test_markup_in_a_name_is_only_a_name(browser: httpx.AsyncClient) -> None:
    name = "<script>alert(1)</script>\"'"
    answer = await browser.post("/register", data={**FORM, "stu_name": name, "stu_num": ""})
    assert "<script>alert" not in answer.text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;&#34;&#39;" in answer.text
    await browser.post("/register", data={**FORM, "stu_name": name})
    home = await browser.get("/")
    assert "<script>alert" not in home.text
    assert "&lt;script&gt;alert(1)" in home.text


async def test_an_outage_keeps_the_form(browser: httpx.AsyncClient, gateway: GatewayDouble) -> None:
    gateway.recognition.refusal = Unavailable()
    answer = await browser.post("/register", data=FORM)
    assert answer.status_code == 503
    assert "暂时无法注册，请稍后再试：系统繁忙" in answer.text
    assert 'value="王小明"' in answer.text


async def test_another_site_may_not_register_anybody(browser: httpx.AsyncClient, gateway: GatewayDouble) -> None:
    for headers in (
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"origin": "https://evil.example"},
    ):
        answer = await browser.post("/register", data=FORM, headers=headers)
        assert answer.status_code == 403
        assert "其他网站" in answer.text
    own = {"origin": "http://localhost", "sec-fetch-site": "same-origin"}
    assert (await browser.post("/register", data=FORM, headers=own)).status_code == 303
    assert len(gateway.recognition.enrolled) == 1


async def test_in_english(app: FastAPI, gateway: GatewayDouble) -> None:
    async with browser_at(app, **ENGLISH) as browser:
        answer = await browser.post("/register", data={**FORM, "stu_num": "a b"})
        assert "Something is not right" in answer.text
        assert "only digits, letters and underscores" in answer.text


async def test_a_flood_is_told_to_wait(gateway: GatewayDouble) -> None:
    app = create_app(gateway, Rates(register=Rate(burst=2, per_second=0.01)))  # type: ignore[arg-type]
    async with browser_at(app) as browser, browser_at(app, "192.0.2.7") as somebody_else:
        for _ in range(2):
            assert (await browser.post("/register", data={})).status_code == 200
        answer = await browser.post("/register", data={})
        assert answer.status_code == 429
        assert int(answer.headers["retry-after"]) > 1
        assert "操作太频繁" in answer.text
        assert (await somebody_else.post("/register", data={})).status_code == 200


async def test_two_files_or_broken_multipart_is_a_bad_request(browser: httpx.AsyncClient) -> None:
    two = [("photo", ("a.jpg", b"a", "image/jpeg")), ("photo", ("b.jpg", b"b", "image/jpeg"))]
    assert (await browser.post("/register", data=FORM, files=two)).status_code == 400
    headers = {"content-type": "multipart/form-data; boundary=x"}
    broken = await browser.post("/register", content=b"--x\r\nnonsense", headers=headers)
    assert broken.status_code in (200, 400)
    assert "text/html" in broken.headers["content-type"]


@pytest.fixture
def strict() -> GatewayDouble:
    return GatewayDouble(register_challenge=True)


async def test_where_it_is_asked_only_a_picture_of_a_challenge_registers(strict: GatewayDouble) -> None:
    async with browser_at(create_app(strict)) as browser:  # type: ignore[arg-type]
        for proof in ("", "9999999999.AAAA", make_proof(SECRET, b"another picture")):
            answer = await browser.post("/register", data={**FORM, "proof": proof})
            assert "图片不符合要求" in answer.text
            assert "请用摄像头完成页面提示的动作" in answer.text
        upload = {"photo": ("me.jpg", PICTURE, "image/jpeg")}
        assert "请用摄像头" in (await browser.post("/register", data={**FORM, "img_data": ""}, files=upload)).text
        assert strict.recognition.enrolled == []
        answer = await browser.post("/register", data={**FORM, "proof": make_proof(SECRET, PICTURE)})
        assert answer.status_code == 303
        assert strict.recognition.enrolled[0][1] == PICTURE


async def test_a_form_that_failed_for_another_reason_keeps_picture_and_proof(strict: GatewayDouble) -> None:
    jpeg_url = DATA_URL.replace("image/png", "image/jpeg")
    proof = make_proof(SECRET, PICTURE)
    async with browser_at(create_app(strict)) as browser:  # type: ignore[arg-type]
        fields = {**FORM, "img_data": jpeg_url, "proof": proof, "stu_num": "a b"}
        page = (await browser.post("/register", data=fields)).text
        assert f'value="{proof}"' in page
        assert jpeg_url in page


async def test_the_page_offers_no_file_where_a_challenge_is_asked(
    browser: httpx.AsyncClient, strict: GatewayDouble
) -> None:
    usual = (await browser.get("/register")).text
    async with browser_at(create_app(strict)) as other:  # type: ignore[arg-type]
        asked = (await other.get("/register")).text
    assert 'type="file"' in usual
    assert 'name="proof"' not in usual
    assert 'type="file"' not in asked
    assert 'name="proof"' in asked


async def test_attempts_at_a_challenge_are_counted(gateway: GatewayDouble) -> None:
    app = create_app(gateway, Rates(challenge=Rate(burst=1, per_second=0.01)))  # type: ignore[arg-type]
    app.state.site.challenges.take("127.0.0.1")
    async with watching(app, "/stream") as viewer:
        viewer.outbox.put_nowait({"type": "websocket.receive", "text": '{"type":"hello","want":"challenge"}'})
        said = await viewer.hear()
        assert (said["type"], said["code"]) == ("error", "too_fast")
        assert await viewer.hear() == {"closed": 1008}


async def test_an_unknown_wish_is_refused(app: FastAPI) -> None:
    async with watching(app, "/stream") as viewer:
        viewer.outbox.put_nowait({"type": "websocket.receive", "text": '{"type":"hello","want":"miracles"}'})
        assert (await viewer.hear())["code"] == "invalid"
