"""The pure parts of a fleet."""

from itertools import pairwise

import pytest

from terminal.events import Rubbish
from terminal.simulated import challenge_in
from terminal.tally import SAMPLES, Report, Tally, thinned

ANSWER = b'HTTP/1.1 426 Upgrade Required\r\nContent-Length: 20\r\n\r\n{"challenge":"abcd"}'


def test_the_challenge_is_read_from_the_answer_once_it_is_there() -> None:
    assert [challenge_in(ANSWER[:end]) for end in range(len(ANSWER))] == [None] * len(ANSWER)
    assert challenge_in(ANSWER) == "abcd"


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
        b"x" * 10_000,
    ],
)
def test_an_answer_without_a_challenge_is_rubbish(answer: bytes) -> None:
    with pytest.raises(Rubbish):
        challenge_in(answer)


def test_few_times_are_kept_all_of_many_the_ends_and_an_even_part() -> None:
    assert thinned([3.0, 1.0, 2.0]) == (1.0, 2.0, 3.0)
    many = thinned([float(n) for n in range(10_000)])
    assert (len(many), many[0], many[-1]) == (SAMPLES, 0.0, 9_999.0)
    assert max(b - a for a, b in pairwise(many)) <= 51


def test_a_report_takes_the_samples_and_leaves_the_counters() -> None:
    tally = Tally()
    tally.online = tally.welcomed = 3
    tally.failed["HTTP 503"] += 2
    tally.push_ms.append(1.5)
    first, second = tally.report(), tally.report()
    assert (first.push_ms, second.push_ms) == ((1.5,), ())
    assert (second.online, second.welcomed, second.failed) == (3, 3, {"HTTP 503": 2})
    assert Report.model_validate_json(first.model_dump_json()) == first
