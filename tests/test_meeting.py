"""Processes meet over sockets: what all gave, and who is gone. Here they are threads."""

import contextlib
import json
import queue
import socket
from concurrent.futures import ThreadPoolExecutor

import pytest

from mrcnn.parallel.meeting import SILENCE, Channel, Member, Server

WAIT = 30  # seconds; what arrives, arrives at once


@pytest.fixture
def server():
    return Server(3, "secret")


def member(server, index, host="127.0.0.1"):
    """A member, and the queue of what it was told."""
    told = queue.Queue()
    found = Member(
        *((host, server.port), "secret", index),
        on_gone=lambda *gone: told.put(("gone", *gone)),
        on_signal=lambda signal: told.put(("signal", signal)),
    )
    return found, told


def of_ipv6():
    """This machine's address of IPv6, where it has one."""
    with contextlib.suppress(OSError), socket.create_server(("::1", 0), family=socket.AF_INET6):
        return "::1"
    return "localhost"


def test_all_have_what_each_gave_in_the_order_of_processes(server):
    hosts = "127.0.0.1", "localhost", of_ipv6()
    members = [member(server, i, host)[0] for i, host in zip((2, 0, 1), hosts, strict=True)]
    given = {2: "c", 0: "a", 1: [1, 2]}
    with ThreadPoolExecutor(6) as pool:
        # Two questions at once, as batches that are made ahead ask them.
        asked = [
            pool.submit(each.gather, name, value)
            for name in ("sides 0", "sides 4")
            for each, value in zip(members, given.values(), strict=True)
        ]
        assert all(each.result(WAIT) == ["a", [1, 2], "c"] for each in asked)


def test_one_that_is_killed_is_gone_for_all_others(server):
    (_, first), (_, second) = member(server, 0), member(server, 1)
    with socket.create_connection(("127.0.0.1", server.port)) as killed:
        killed.sendall(b'{"index": 2, "password": "secret"}\n{"name": "sides')
    assert first.get(timeout=WAIT) == second.get(timeout=WAIT) == ("gone", 2, None)


def test_a_host_that_is_cut_off_is_known_within_half_a_minute():
    ends = socket.create_server(("", 0))
    with ends, socket.create_connection(ends.getsockname()) as connection:
        Channel(connection)

        def option(name):
            return connection.getsockopt(socket.IPPROTO_TCP, getattr(socket, name))

        assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        # The first question after 8 seconds, three more, and as long for the last answer.
        seconds = option("TCP_KEEPIDLE") + option("TCP_KEEPCNT") * option("TCP_KEEPINTVL")
        assert seconds == SILENCE == 20 and option("TCP_USER_TIMEOUT") == 20_000


def test_why_one_ends_is_told(server):
    (_, first), (second, _) = member(server, 0), member(server, 1)
    second.fail("ValueError: no image")
    assert first.get(timeout=WAIT) == ("gone", 1, "ValueError: no image")


def test_a_signal_reaches_the_first_one_alone(server):
    (_, first), (second, told) = member(server, 0), member(server, 1)
    second.pass_on(15)
    assert first.get(timeout=WAIT) == ("signal", 15) and told.empty()


def test_who_has_left_is_not_missed(server):
    members = [member(server, i) for i in range(3)]
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda each: each[0].leave(), members))
    assert all(told.empty() for _, told in members)


def test_a_stranger_is_not_let_in(server):
    _, told = member(server, 0)
    with socket.create_connection(("127.0.0.1", server.port)) as stranger:
        stranger.sendall(json.dumps({"index": 1, "password": "guess"}).encode() + b"\n")
        assert stranger.recv(1) == b""  # it was closed
    with socket.create_connection(("127.0.0.1", server.port)) as stranger:
        stranger.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert stranger.recv(1) == b""
    assert told.empty()


def test_a_first_process_that_cannot_be_reached_is_named():
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    expected = f"process 1 cannot reach the first one at 127.0.0.1, port {port} .*: each host must"
    with pytest.raises(ConnectionError, match=expected):
        Member(("127.0.0.1", port), "secret", 1, None, None)
