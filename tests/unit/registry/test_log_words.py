"""The log of a terminal is written in words that the office's pages know."""

import re
from pathlib import Path

from registry import store
from shared.contracts.device_log import DEEDS, action_of, deed_of


def test_no_action_of_a_terminals_log_is_written_beside_the_list() -> None:
    """`device …` in the audit comes from `action_of`, whose words the pages are tested for."""
    [folder] = store.__path__
    for source in Path(folder).glob("*.py"):
        assert not re.findall(r"""f?["']device [a-z]""", source.read_text("utf-8")), source.name


def test_what_is_written_is_read() -> None:
    for deed in DEEDS:
        assert deed_of(action_of(deed)) == (deed, True)
        assert deed_of(action_of(deed, done=False)) == (deed, False)
