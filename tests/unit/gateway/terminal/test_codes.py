"""Seed 004's numbers: the table, and which one an error of any service is answered with."""

import re
from pathlib import Path

import pytest

from gateway.body_limit import too_large
from gateway.clockin import PictureRefused
from gateway.terminal_api.refusals import STATUSES, code_of, of_problem, refused
from shared.codes import DeviceCode
from shared.contracts.recognition import NO_FACE, SEVERAL_FACES, Problem
from shared.errors import (
    Conflict,
    DeviceRefused,
    Gone,
    Internal,
    InvalidInput,
    NotAllowed,
    RollcallError,
    Unavailable,
)
from shared.vision.picture import DamagedPicture, EmptyPicture, NotAPicture, PictureTooSmall, TooManyBytes

DOCS = Path(__file__).parents[4] / "docs"
ROW = re.compile(r"^\| (\d+) \| ([^|]+) \| ([^|]*) \|$", re.MULTILINE)


def test_the_guide_has_the_whole_table() -> None:
    rows = {(int(code), printed, when) for code, printed, when in ROW.findall((DOCS / "terminals.md").read_text())}
    assert {(int(code), code.printed, code.when or "–") for code in DeviceCode} <= rows
    assert len(DeviceCode) == 61


def test_the_chinese_guide_has_it_too() -> None:
    rows = {(int(code), printed) for code, printed, _ in ROW.findall((DOCS / "terminals.zh.md").read_text())}
    assert {(int(code), code.printed) for code in DeviceCode} <= rows


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (refused(DeviceCode.EXPIRED, "", ""), 7),
        (DeviceRefused("", "", number=9004), 9004),
        (NotAllowed("", "", number=7), 7),
        (NotAllowed("", ""), 9001),
        (NotAllowed("", "", number=110), 9001),
        (Conflict("", "", number=223105), 5),
        (InvalidInput("", ""), 2),
        (TooManyBytes("", ""), 69642),
        (PictureTooSmall("", ""), 69641),
        (NotAPicture("", ""), 69640),
        (EmptyPicture("", ""), 9113),
        (DamagedPicture("", ""), 9113),
        (PictureRefused((NO_FACE,)), 9006),
        (PictureRefused((SEVERAL_FACES,)), 73730),
        (PictureRefused((Problem(code=223114, zh="", en=""),)), 73730),
        (PictureRefused((Problem(code=222304, zh="", en=""),)), 69642),
        (too_large(16 * 2**20), 9),
        (Internal("", ""), 9007),
        (Unavailable(), 1),
        (Gone("", ""), 1),
        (of_problem(NO_FACE), 9006),
        (of_problem(Problem(code=2, zh="忙", en="busy")), 1),
        (of_problem(Problem(code=222203, zh="", en="")), 9113),
    ],
)
def test_errors_of_any_service_have_a_code(error: RollcallError, code: int) -> None:
    assert code_of(error) == code


def test_http_says_200_but_for_what_a_proxy_should_know() -> None:
    assert {int(code): status.number for code, status in STATUSES.items()} == {1: 503, 8: 429, 9: 413, 9007: 500}


def test_both_guides_have_the_same_examples() -> None:
    blocks = re.compile(r"^```(?:sh|json)?\n.*?^```$", re.MULTILINE | re.DOTALL)
    english, chinese = (
        blocks.findall((DOCS / name).read_text("utf-8")) for name in ("terminals.md", "terminals.zh.md")
    )
    assert len(chinese) > 20
    assert chinese == [block for block in english if block in chinese]  # the English one has more, in the same order
