"""Ports for servers that will listen later: nobody is given the same one twice."""

import socket
from itertools import combinations

from rollcall.local import PORTS, candidate, free_port

ASKED = 600
"""Ports that the tests of one process ask for: some 200."""


def test_a_process_is_never_given_a_port_twice() -> None:
    given = [free_port() for _ in range(ASKED)]
    assert len(set(given)) == ASKED
    assert all(port in PORTS for port in given)


def test_every_port_is_tried_before_one_comes_again() -> None:
    assert {candidate(1_234, call) for call in range(len(PORTS))} == set(PORTS)


def test_neighbouring_processes_do_not_meet() -> None:
    """Two workers of a test run have ids next to each other, and look at the same time."""
    tried = [{candidate(process, call) for call in range(ASKED)} for process in range(70_000, 70_008)]
    assert all(one.isdisjoint(other) for one, other in combinations(tried, 2))


def test_a_port_where_somebody_listens_is_left_out() -> None:
    """The next one is taken, and so the one after it is given."""
    first = free_port()
    walk = [candidate(0, call) for call in range(2 * len(PORTS))]
    following = (port for port in walk[walk.index(first) + 1 :] if _is_free(port))
    with socket.create_server(("127.0.0.1", next(following))):
        assert free_port() == next(following)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
