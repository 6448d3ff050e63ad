"""What `make audit` makes of pip-audit's answers, in the words in which version 2.10 gives them."""

import json

import pytest

from tests.security.audit import Skipped, holes

CLEAN = {"name": "aiomqtt", "version": "2.5.1", "vulns": []}
HOLED = {
    "name": "requests",
    "version": "2.19.0",
    "vulns": [{"id": "PYSEC-2018-28", "fix_versions": ["2.20.0"], "aliases": ["CVE-2018-18074"], "description": "…"}],
}
UNKNOWN = {"name": "nowhere", "skip_reason": "Dependency not found on PyPI and could not be audited: nowhere (1.0)"}


def said(*packages: object) -> str:
    return json.dumps({"dependencies": packages, "fixes": []})


def test_a_hole_is_named_with_the_version_that_mends_it() -> None:
    assert holes(said(CLEAN, HOLED)) == ["requests 2.19.0: PYSEC-2018-28, mended in 2.20.0"]
    assert holes(said(CLEAN)) == []


def test_a_package_that_was_not_asked_about_is_named() -> None:
    [line] = holes(said(CLEAN, UNKNOWN))
    assert line.startswith("nowhere: not asked about")


@pytest.mark.parametrize("answer", [said(UNKNOWN, UNKNOWN), said(), "", "Traceback", "[]"])
def test_a_list_that_knows_nothing_is_no_clean_bill(answer: str) -> None:
    with pytest.raises(Skipped):
        holes(answer)
