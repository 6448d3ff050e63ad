"""Whatever is sent: a typed request or one of Baidu's codes, never anything else."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.baidu_api import parameters, signatures
from gateway.baidu_api.pictures import decoded
from gateway.baidu_api.reading import read_fields, read_items
from gateway.baidu_api.tokens import AccessTokens, Owner
from shared.codes import FACE_TEXTS
from shared.contracts.base import now
from shared.errors import InvalidInput

NAMES = [
    "image",
    "image_type",
    "group_id_list",
    "group_id",
    "user_id",
    "user_info",
    "face_field",
    "max_face_num",
    "max_user_num",
    "face_type",
    "quality_control",
    "liveness_control",
    "spoofing_control",
    "match_threshold",
    "face_sort_type",
    "display_corp_image",
    "action_type",
    "option",
    "start",
    "length",
    "face_token",
    "src_group_id",
    "dst_group_id",
]
GOOD = {
    "image": "AAAA",
    "image_type": "BASE64",
    "group_id_list": "g1",
    "group_id": "g1",
    "user_id": "u1",
    "face_token": "t",
    "src_group_id": "g1",
    "dst_group_id": "g2",
}
ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=40),
    st.sampled_from(["", " ", "NONE", "LOW", "0", "1", "@ALL", "a,b", "1e5", "-0", "\ud800", "\x00", "9" * 400]),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)
SENT = st.dictionaries(st.sampled_from(NAMES), ODD, max_size=6).map(lambda odd: {**GOOD, **odd})
READERS = [
    parameters.detect,
    parameters.search,
    parameters.multi_search,
    parameters.added,
    parameters.updated,
    parameters.copying,
    parameters.page,
    parameters.group_or_all,
    parameters.face_token,
]
QUICK = settings(max_examples=150, deadline=None, database=None)


@pytest.mark.parametrize("reader", READERS)
@QUICK
@given(sent=SENT)
def test_parameters(reader: Any, sent: dict[str, Any]) -> None:
    try:
        reader(sent)
    except InvalidInput as refused:
        assert refused.number in FACE_TEXTS
        assert refused.number >= 222001


@QUICK
@given(items=st.lists(SENT, max_size=4))
def test_lists(items: list[dict[str, Any]]) -> None:
    for reader in (parameters.pair, parameters.verified):
        try:
            reader(items)
        except InvalidInput as refused:
            assert refused.number in FACE_TEXTS


@QUICK
@given(body=st.one_of(st.binary(max_size=200), SENT.map(lambda sent: json.dumps(sent).encode())))
def test_bodies(body: bytes) -> None:
    for reader in (read_fields, read_items):
        try:
            reader(body, {"a": "b"})
        except InvalidInput as refused:
            assert refused.number == 222200


@QUICK
@given(text=st.text(max_size=200))
def test_pictures(text: str) -> None:
    try:
        assert decoded(text)
    except InvalidInput as refused:
        assert refused.number in (222203, 222013)


TOKENS = AccessTokens("secret")


@QUICK
@given(key_id=st.integers(0, 10**17), app_id=st.integers(0, 10**17), at=st.floats(0, 1e10))
def test_tokens_come_back(key_id: int, app_id: int, at: float) -> None:
    owner = Owner(key_id, app_id)
    assert TOKENS.read(TOKENS.make(owner, at), at) == owner


@QUICK
@given(text=st.one_of(st.text(max_size=120), st.from_regex(r"24\.[0-9a-f]{32}\.2592000\.[0-9]{1,12}\.[0-9]{1,19}-1")))
def test_tokens_that_were_not_made_here(text: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        TOKENS.read(text, 0)
    assert refused.value.number in (100, 110)


@QUICK
@given(text=st.one_of(st.text(max_size=200), st.text(max_size=100).map(lambda odd: "bce-auth-v1/AK/" + odd)))
def test_signatures(text: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        signatures.read(text, "POST", "/", [("a", "b")], {"host": "h"}, now())
    assert refused.value.number == 14
