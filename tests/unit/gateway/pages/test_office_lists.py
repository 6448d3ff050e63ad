"""Students, punches, devices."""

import base64
import csv
import io
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from PIL import Image

from shared.contracts.devices import AddDevice, DeviceState, LogEntry, Proof, SuspendDevice
from shared.contracts.hubs import Presence
from shared.contracts.people import Gender, Person
from shared.contracts.terminals import (
    OpenDoor,
    Order,
    OrderOutcome,
    ReloadConfig,
    Restart,
    ShowMessage,
    TakeSnapshot,
    UpdateFaces,
)
from shared.errors import Gone, RollcallError, Unavailable
from shared.security import ticket_holds
from tests.unit.gateway.pages.conftest import ENGLISH, post_form
from tests.unit.gateway.pages.gateway_double import SECRET, GatewayDouble
from tests.unit.gateway.pages.registry_double import JPEG, ZONE

EDITED = {"stu_name": "王大明", "stu_class": "二班", "stu_num": "9", "gender": "WOMAN"}
NOON = datetime(2026, 3, 2, 12, 0, tzinfo=ZONE)


@pytest.fixture
def wang(gateway: GatewayDouble) -> Person:
    return gateway.registry.add_student("001", "王小明", "一班")


async def test_students_are_listed_and_searched(
    office: httpx.AsyncClient, gateway: GatewayDouble, wang: Person
) -> None:
    gateway.registry.add_student("002", "李思涵", "二班", Gender.WOMAN)
    everybody = await office.get("/office/students")
    assert "王小明" in everybody.text
    assert "李思涵" in everybody.text
    assert "共 2 人" in everybody.text
    for query in ({"text": "思涵"}, {"text": "002"}, {"class_name": "二班"}):
        found = await office.get("/office/students", params=query)
        assert "李思涵" in found.text
        assert "王小明" not in found.text
    assert "没有符合条件的记录" in (await office.get("/office/students", params={"text": "zzz"})).text


async def test_photos_that_wait_to_be_measured_again_are_told(
    office: httpx.AsyncClient, gateway: GatewayDouble, wang: Person
) -> None:
    assert "reembed" not in (await office.get("/office/students")).text
    gateway.indexes.waiting = 12
    chinese = (await office.get("/office/students")).text
    assert "有 12 张照片等待重新测量" in chinese
    assert "rollcall reembed" in chinese
    english = (await office.get("/office/students", headers=ENGLISH)).text
    assert "Photos that wait to be measured again: 12." in english


async def test_long_lists_have_pages(office: httpx.AsyncClient, gateway: GatewayDouble) -> None:
    for number in range(120):
        gateway.registry.add_student(f"{number:03}", f"学生{number:03}", "一班")
    first = await office.get("/office/students", params={"class_name": "一班"})
    assert "第 1–50 条，共 120 条" in first.text
    assert "page=2" in first.text
    last = await office.get("/office/students?page=3")
    assert "第 101–120 条，共 120 条" in last.text
    assert "学生119" in last.text
    beyond = await office.get("/office/students?page=99&class_name=一班")
    assert beyond.status_code == 303
    assert "page=3" in beyond.headers["location"]
    for rubbish in ("0", "-1", "x", "9" * 30, "²"):
        assert "第 1–50 条" in (await office.get("/office/students", params={"page": rubbish})).text


async def test_a_photo_is_never_kept(office: httpx.AsyncClient, wang: Person) -> None:
    answer = await office.get(f"/office/students/{wang.student_id}/photo")
    assert (answer.content, answer.headers["content-type"]) == (JPEG, "image/jpeg")
    assert "no-store" in answer.headers["cache-control"]


async def test_a_student_is_corrected(office: httpx.AsyncClient, gateway: GatewayDouble, wang: Person) -> None:
    page = f"/office/students/{wang.student_id}"
    answer = await post_form(office, page, page, **EDITED)
    assert answer.status_code == 303
    person = gateway.registry.students[wang.student_id].person
    assert (person.name, person.class_name, person.num, person.gender) == ("王大明", "二班", "9", Gender.WOMAN)
    assert "王大明 已保存" in (await office.get("/office/students")).text


async def test_a_wrong_correction_keeps_what_was_typed(
    office: httpx.AsyncClient, gateway: GatewayDouble, wang: Person
) -> None:
    gateway.registry.add_student("002", "李思涵", "二班")
    page = f"/office/students/{wang.student_id}"
    taken = await post_form(office, page, page, **{**EDITED, "stu_num": "002"})
    assert taken.status_code == 400
    assert "学号 002 已被使用" in taken.text
    assert 'value="王大明"' in taken.text
    wrong = await post_form(office, page, page, **{**EDITED, "stu_num": "a b", "stu_name": ""})
    assert "学号只能用数字" in wrong.text
    assert "姓名应为" in wrong.text
    assert gateway.registry.students[wang.student_id].person == wang


async def test_deleting_asks_first_and_says_whether_it_is_gone_everywhere(
    office: httpx.AsyncClient, gateway: GatewayDouble, wang: Person
) -> None:
    page = f"/office/students/{wang.student_id}/delete"
    assert "确定删除 王小明（001）吗？" in (await office.get(page)).text
    assert gateway.registry.students
    await post_form(office, page, page)
    assert not gateway.registry.students
    assert "王小明 已删除，所有识别端都已清除" in (await office.get("/office/students")).text


async def test_a_deletion_that_is_not_everywhere_yet_says_so(
    office: httpx.AsyncClient, gateway: GatewayDouble, wang: Person
) -> None:
    gateway.recognition.searchable = False
    page = f"/office/students/{wang.student_id}/delete"
    await post_form(office, page, page)
    assert "识别端还在更新" in (await office.get("/office/students")).text


@pytest.mark.parametrize("path", ["/office/students/77", "/office/students/77/photo", "/office/devices/77/remove"])
async def test_what_is_not_there(office: httpx.AsyncClient, path: str) -> None:
    answer = await office.get(path)
    assert answer.status_code == 404
    assert "没有这" in answer.text


async def test_an_id_that_is_no_number(office: httpx.AsyncClient) -> None:
    answer = await office.get("/office/students/abc")
    assert answer.status_code == 400
    assert "请求的格式不对" in answer.text


async def test_punches_of_a_day(office: httpx.AsyncClient, gateway: GatewayDouble, wang: Person) -> None:
    li = gateway.registry.add_student("002", "李思涵", "二班")
    gateway.registry.add_punch(wang, "东门", NOON)
    gateway.registry.add_punch(li, "西门", NOON + timedelta(minutes=1))
    gateway.registry.add_punch(li, "西门", NOON + timedelta(days=1))
    day = await office.get("/office/punches", params={"day": "2026-03-02"})
    assert "12:00:00" in day.text
    assert "2 条" in day.text
    assert "?day=2026-03-01" in day.text
    assert "?day=2026-03-03" in day.text
    for query in ({"text": "思涵"}, {"class_name": "二班"}, {"place": "西门"}):
        found = await office.get("/office/punches", params={"day": "2026-03-02", **query})
        assert "李思涵" in found.text
        assert "王小明" not in found.text


async def test_today_unless_a_day_is_asked_for(office: httpx.AsyncClient, gateway: GatewayDouble, wang: Person) -> None:
    gateway.registry.add_punch(wang, "东门", datetime.now(UTC))
    for query in ({}, {"day": "yesterday"}, {"day": "2026-13-45"}, {"day": ""}):
        assert "王小明" in (await office.get("/office/punches", params=query)).text
    for day in ("0001-01-01", "9999-12-31"):
        assert (await office.get("/office/punches", params={"day": day})).status_code == 200


async def test_the_spreadsheet(office: httpx.AsyncClient, gateway: GatewayDouble) -> None:
    evil = gateway.registry.add_student("003", '=HYPERLINK("http://evil")', "+二班")
    gateway.registry.add_punch(evil, "@东门", NOON)
    answer = await office.get("/office/punches/csv", params={"day": "2026-03-02"})
    assert answer.content.startswith(b"\xef\xbb\xbf")
    assert 'filename="rollcall-2026-03-02.csv"' in answer.headers["content-disposition"]
    head, row = csv.reader(io.StringIO(answer.content.decode("utf-8-sig")))
    assert head == ["日期", "时间", "学号", "姓名", "班级", "地点", "相似度"]
    assert row == ["2026-03-02", "12:00:00", "003", '\'=HYPERLINK("http://evil")', "'+二班", "'@东门", "93.4"]


async def test_the_spreadsheet_has_every_row(office: httpx.AsyncClient, gateway: GatewayDouble, wang: Person) -> None:
    for second in range(2_050):
        gateway.registry.add_punch(wang, "东门", NOON + timedelta(seconds=second))
    answer = await office.get("/office/punches/csv", params={"day": "2026-03-02"})
    assert len(list(csv.reader(io.StringIO(answer.text)))) == 2_051


async def test_a_device_is_added_its_secret_shown_once_and_removed(
    office: httpx.AsyncClient, gateway: GatewayDouble
) -> None:
    added = await post_form(office, "/office/devices", "/office/devices", name=" 东门 ", sn="RC-1")
    assert 'value="5ec2e7"' in added.text
    assert "no-store" in added.headers["cache-control"]
    page = await office.get("/office/devices")
    assert "RC-1" in page.text and "已授权" in page.text
    assert "5ec2e7" not in page.text + (await office.get("/office/devices/1")).text
    assert "确定移除 东门（RC-1）吗？" in (await office.get("/office/devices/1/remove")).text
    await post_form(office, "/office/devices/1/remove", "/office/devices/1/remove")
    assert not gateway.registry.devices


async def test_compatibility_is_a_choice_that_shows(office: httpx.AsyncClient, gateway: GatewayDouble) -> None:
    added = await post_form(office, "/office/devices", "/office/devices", name="东门", sn="RC-1", serial_only="yes")
    assert added.status_code == 303
    assert gateway.registry.devices[1].proof is Proof.SERIAL
    assert "仅凭序列号" in (await office.get("/office/devices")).text


async def test_a_waiting_device_is_let_in_suspended_and_let_in_again(
    office: httpx.AsyncClient, gateway: GatewayDouble
) -> None:
    gateway.registry.add_waiting_device("西门", "RC-9")
    page = (await office.get("/office/devices")).text
    assert "有 1 台终端正在等待授权" in page and "等待授权" in page
    let_in = await post_form(office, "/office/devices", "/office/devices/1/authorise")
    assert 'value="5ec2e7"' in let_in.text
    assert "操作记录" in let_in.text and "添加" in let_in.text
    await post_form(office, "/office/devices/1", "/office/devices/1/suspend")
    assert gateway.registry.devices[1].state is DeviceState.SUSPENDED
    assert "西门 已停用" in (await office.get("/office/devices")).text
    assert 'value="5ec2e7"' in (await post_form(office, "/office/devices/1", "/office/devices/1/secret")).text


async def test_all_that_wait_are_removed_after_one_question(office: httpx.AsyncClient, gateway: GatewayDouble) -> None:
    await gateway.registry.ask(AddDevice(name="东门", sn="RC-1", proof=Proof.SECRET, by="t"))
    to = "/office/devices/pending/remove"
    assert to not in (await office.get("/office/devices")).text
    for number in (2, 3):
        gateway.registry.add_waiting_device(f"门{number}", f"RC-{number}")
    assert to in (await office.get("/office/devices")).text
    assert "确定移除全部 2 台等待授权的终端吗？" in (await office.get(to)).text
    assert (await office.post(to)).status_code == 403
    assert len(gateway.registry.devices) == 3
    assert (await post_form(office, to, to)).headers["location"] == "/office/devices"
    assert list(gateway.registry.devices) == [1]
    assert "已移除 2 台等待授权的终端" in (await office.get("/office/devices")).text


@pytest.mark.parametrize(
    ("page", "fields", "proof"),
    [
        ("/office/devices", {}, Proof.SERIAL),
        ("/office/devices/1", {"proof": "serial"}, Proof.SERIAL),
        ("/office/devices/1", {"proof": "secret"}, Proof.SECRET),
    ],
    ids=["the list", "the page as it opens", "the page, told otherwise"],
)
async def test_a_suspended_device_comes_back_by_its_own_proof(
    office: httpx.AsyncClient, gateway: GatewayDouble, page: str, fields: dict[str, str], proof: Proof
) -> None:
    await gateway.registry.ask(AddDevice(name="东门", sn="RC-1", proof=Proof.SERIAL, by="t"))
    await gateway.registry.ask(SuspendDevice(device_id=1, by="t"))
    assert 'value="serial" selected' in (await office.get("/office/devices/1")).text
    answer = await post_form(office, page, "/office/devices/1/authorise", **fields)
    assert gateway.registry.devices[1].proof is proof
    assert answer.status_code == (303 if proof is Proof.SERIAL else 200)


async def test_what_a_device_shall_do(office: httpx.AsyncClient, gateway: GatewayDouble) -> None:
    gateway.registry.add_waiting_device("西门", "RC-9")
    wish = {"name": "南门", "place": "一号楼", "classes": "三年二班\n\n 三年三班 ", "tokens": "timed"}
    config = {"mode": "offline", "open_ms": "5000", "fill_light": "on", "volume": "10", "greeting": "你好"}
    saved = await post_form(office, "/office/devices/1", "/office/devices/1", **wish, **config)
    assert saved.status_code == 303
    device = gateway.registry.devices[1]
    assert (device.name, device.punches_at, device.classes) == ("南门", "一号楼", ("三年二班", "三年三班"))
    assert (device.tokens, device.config.mode, device.config.open_ms) == ("timed", "offline", 5_000)
    wrong = await post_form(office, "/office/devices/1", "/office/devices/1", **wish, **(config | {"volume": "900"}))
    assert wrong.status_code == 400
    assert "volume 的值不对" in wrong.text and 'value="900"' in wrong.text
    assert gateway.registry.devices[1] == device


@pytest.mark.parametrize(("name", "sn"), [("", "RC-1"), ("东门", ""), ("东门", "有 空格"), ("x" * 65, "RC-1")])
async def test_a_wrong_device(office: httpx.AsyncClient, gateway: GatewayDouble, name: str, sn: str) -> None:
    answer = await post_form(office, "/office/devices", "/office/devices", name=name, sn=sn)
    assert answer.status_code == 400
    assert "序列号应为 1–64 个英文字母" in answer.text
    assert not gateway.registry.devices


async def test_a_device_that_exists(office: httpx.AsyncClient, gateway: GatewayDouble) -> None:
    await gateway.registry.ask(AddDevice(name="东门", sn="RC-1", proof=Proof.SECRET, by="test"))
    answer = await post_form(office, "/office/devices", "/office/devices", name="东门", sn="RC-2")
    assert "名称或序列号已被使用" in answer.text
    assert 'value="RC-2"' in answer.text


async def test_many_devices_have_pages(office: httpx.AsyncClient, gateway: GatewayDouble) -> None:
    for number in range(101):
        await gateway.registry.ask(AddDevice(name=f"门{number:03}", sn=f"RC-{number}", proof=Proof.SECRET, by="test"))
    assert "门100" not in (await office.get("/office/devices")).text
    assert "门100" in (await office.get("/office/devices?page=2")).text


async def test_who_is_online_now_shows_on_both_pages(office: httpx.AsyncClient, gateway: GatewayDouble) -> None:
    """A terminal that came three days ago and stays is online, however long ago it was seen coming."""
    gateway.registry.add_waiting_device("西门", "RC-9")
    since = datetime(2026, 3, 1, 23, 30, tzinfo=ZONE)
    for number in (2, 3):
        await gateway.registry.ask(AddDevice(name=f"门{number}", sn=f"RC-{number}", proof=Proof.SECRET, by="t"))
        gateway.registry.devices[number] = gateway.registry.devices[number].model_copy(update={"seen_at": NOON})
    gateway.terminals.online = {2: Presence(hub="hub-a", session="s", since=since)}
    page = (await office.get("/office/devices")).text
    assert gateway.terminals.looked_up == [2, 3]
    assert (page.count(">在线</span>"), page.count(">离线</span>")) == (1, 2)
    for words in ("自 2026-03-01 23:30", "最近在线 2026-03-02 12:00", "从未在线"):
        assert page.count(words) == 1, words
    assert "自 2026-03-01 23:30" in (await office.get("/office/devices/2")).text
    assert "最近在线 2026-03-02 12:00" in (await office.get("/office/devices/3")).text


async def test_the_pages_show_though_nobody_knows_who_is_online(
    office: httpx.AsyncClient, gateway: GatewayDouble
) -> None:
    await gateway.registry.ask(AddDevice(name="东门", sn="RC-1", proof=Proof.SECRET, by="t"))
    gateway.terminals.online = Unavailable(en="no broker")
    for page in ("/office/devices", "/office/devices/1"):
        answer = await office.get(page)
        assert answer.status_code == 200
        assert "连接情况不明" in answer.text


async def test_a_link_for_the_halls_screen(office: httpx.AsyncClient) -> None:
    page = await post_form(office, "/office/devices", "/office/devices/wall")
    link = page.text.partition('value="http://localhost/live?ticket=')[2].partition('"')[0]
    assert ticket_holds(SECRET, "wall", link)
    assert (await office.get("/live", params={"ticket": link})).status_code == 200


async def test_markup_in_the_registry_is_only_text(office: httpx.AsyncClient, gateway: GatewayDouble) -> None:
    """Markup, and what a template engine would work out, in whatever people and terminals may call themselves."""
    evil = gateway.registry.add_student("004", "<script>alert(1)</script>{{7*191}}", "<img src=x>{% raw %}")
    gateway.registry.add_punch(evil, "<b>门</b>${7*191}", datetime.now(UTC))
    device = (
        await gateway.registry.ask(AddDevice(name="<i>{{7*191}}", sn='"><svg/onload=1>', proof=Proof.SECRET, by="t"))
    ).device
    pages = ["students", f"students/{evil.student_id}", "punches", "devices", f"devices/{device.device_id}"]
    for page in pages:
        text = (await office.get(f"/office/{page}")).text
        for markup in ("<script>alert", "<img src=x>", "<b>门", "<i>", "<svg/onload", "1337"):
            assert markup not in text, (page, markup)
        assert "{{7*191}}" in text or page == "punches"


@pytest.mark.parametrize(
    ("order", "fields", "wish", "words"),
    [
        ("open", {"reason": " 访客 "}, OpenDoor(reason="访客"), "开门"),
        ("message", {"message": "放学了"}, ShowMessage(zh="放学了", en="放学了"), "显示消息"),
        ("faces", {}, UpdateFaces(), "更新人脸"),
        ("reload", {}, ReloadConfig(), "重新加载配置"),
        ("restart", {}, Restart(), "重启"),
    ],
)
async def test_the_office_tells_a_terminal_what_to_do(
    office: httpx.AsyncClient, gateway: GatewayDouble, order: str, fields: dict[str, str], wish: Order, words: str
) -> None:
    device = (await gateway.registry.ask(AddDevice(name="东门", sn="E-1", proof=Proof.SECRET, by="t"))).device
    gateway.terminals.answer = OrderOutcome(ok=True, detail="3 <b>things</b>")
    page = f"/office/devices/{device.device_id}"
    assert f"{page}/{order}" in (await office.get(page)).text
    assert (await office.post(f"{page}/{order}", data=fields)).status_code == 403
    answer = await post_form(office, page, f"{page}/{order}", **fields)
    assert (answer.status_code, answer.headers["location"]) == (303, page)
    assert f"东门：{words}，终端已执行。 3 &lt;b&gt;things" in (await office.get(page)).text
    [asked] = gateway.terminals.ordered
    assert (asked.device_id, asked.order, asked.by) == (device.device_id, wish, "office")


async def test_a_restart_is_asked_for_twice(office: httpx.AsyncClient, gateway: GatewayDouble) -> None:
    await gateway.registry.ask(AddDevice(name="东门", sn="E-1", proof=Proof.SECRET, by="t"))
    page = "/office/devices/1"
    assert f'action="{page}/restart"' not in (await office.get(page)).text
    question = (await office.get(f"{page}/restart")).text
    assert "确定重启 东门 吗？" in question and f'action="{page}/restart"' in question
    assert gateway.terminals.ordered == []


async def test_a_message_has_words(office: httpx.AsyncClient, gateway: GatewayDouble) -> None:
    await gateway.registry.ask(AddDevice(name="东门", sn="E-1", proof=Proof.SECRET, by="t"))
    answer = await post_form(office, "/office/devices/1", "/office/devices/1/message", message=" ")
    assert answer.status_code == 400
    assert "请填写消息内容" in answer.text
    assert gateway.terminals.ordered == []


def a_jpeg(side: int = 64) -> bytes:
    out = io.BytesIO()
    Image.new("L", (side, side)).save(out, "JPEG", optimize=True)
    return out.getvalue()


async def test_the_office_looks_through_a_terminals_camera(office: httpx.AsyncClient, gateway: GatewayDouble) -> None:
    device = (await gateway.registry.ask(AddDevice(name="东门", sn="E-1", proof=Proof.SECRET, by="t"))).device
    gateway.terminals.answer = OrderOutcome(ok=True, picture=a_jpeg())
    page = f"/office/devices/{device.device_id}"
    answer = await post_form(office, page, f"{page}/snapshot")
    assert answer.status_code == 200
    assert f'src="data:image/jpeg;base64,{base64.b64encode(a_jpeg()).decode()}"' in answer.text
    assert answer.headers["cache-control"] == "no-store"
    assert 'id="snapshot"' not in (await office.get(page)).text
    assert [asked.order for asked in gateway.terminals.ordered] == [TakeSnapshot()]


OFFLINE = Gone("终端不在线", "offline")


@pytest.mark.parametrize(
    ("order", "outcome", "words"),
    [
        ("open", OFFLINE, "终端不在线"),
        ("open", Unavailable("终端没有回答", "no answer"), "终端没有回答"),
        ("open", OrderOutcome(ok=False, error="failed", detail="relay is stuck"), "relay is stuck"),
        ("faces", OrderOutcome(ok=False, error="unsupported"), "unsupported"),
        ("restart", OFFLINE, "终端不在线"),
        ("snapshot", OFFLINE, "终端不在线"),
        ("snapshot", OrderOutcome(ok=False, error="no_picture", detail="no camera"), "no camera"),
        ("snapshot", OrderOutcome(ok=True), "没有收到照片"),
        ("snapshot", OrderOutcome(ok=True, picture=b"\xff\xd8\xff" + b"\0" * 99 + b"\xff\xd9"), "这不是一张照片"),
        ("snapshot", OrderOutcome(ok=True, picture=a_jpeg(2_010)), "像素太多"),
    ],
)
async def test_what_a_terminal_did_not_do_is_said(
    office: httpx.AsyncClient, gateway: GatewayDouble, order: str, outcome: OrderOutcome | RollcallError, words: str
) -> None:
    device = (await gateway.registry.ask(AddDevice(name="东门", sn="E-1", proof=Proof.SECRET, by="t"))).device
    gateway.terminals.answer = outcome
    page = f"/office/devices/{device.device_id}"
    answer = await post_form(office, page, f"{page}/{order}")
    assert answer.status_code == 409
    assert words in answer.text
    assert "终端已执行" not in answer.text
    assert 'id="snapshot"' not in answer.text


async def test_a_terminal_that_waits_has_no_door_to_open(office: httpx.AsyncClient, gateway: GatewayDouble) -> None:
    device = gateway.registry.add_waiting_device("东门", "E-1")
    assert "/open" not in (await office.get(f"/office/devices/{device.device_id}")).text


@pytest.mark.parametrize(
    ("taken", "words"), [(None, "没有报告"), (3, "终端已采用"), (2, "终端仍在使用 2")], ids=["unsaid", "same", "older"]
)
async def test_wished_and_taken_configuration_are_shown(
    office: httpx.AsyncClient, gateway: GatewayDouble, taken: int | None, words: str
) -> None:
    device = gateway.registry.add_waiting_device("东门", "E-1")
    gateway.registry.devices[device.device_id] = device.model_copy(update={"config_revision": 3, "config_taken": taken})
    assert words in (await office.get(f"/office/devices/{device.device_id}")).text


async def test_what_a_terminal_was_told_stands_in_its_log(office: httpx.AsyncClient, gateway: GatewayDouble) -> None:
    device = gateway.registry.add_waiting_device("东门", "E-1")
    at = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
    gateway.registry.device_log = (
        LogEntry(at=at, by="office", action="device open_door", detail="访客"),
        LogEntry(at=at, by="command line", action="device show_message failed", detail="unsupported"),
    )
    text = (await office.get(f"/office/devices/{device.device_id}")).text
    for words in ("开门", "访客", "显示消息 · 未完成", "unsupported", "command line"):
        assert words in text


async def test_punches_that_a_terminal_lost_stand_in_its_log(office: httpx.AsyncClient, gateway: GatewayDouble) -> None:
    device = gateway.registry.add_waiting_device("东门", "E-1")
    at = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
    actions = ("device punch refused", "device punches lost", "device painted green failed")
    gateway.registry.device_log = tuple(LogEntry(at=at, by="terminal", action=action) for action in actions)
    page = await office.get(f"/office/devices/{device.device_id}")
    assert page.status_code == 200
    for words in ("打卡被退回", "打卡记录丢失", "painted green · 未完成"):
        assert words in page.text
