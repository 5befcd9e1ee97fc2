import os
import socket

import pytest


@pytest.mark.parametrize("address", ["192.0.2.1", "10.0.0.1", "169.254.169.254", "224.0.0.1"])
@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_no_way_out(address, kind):
    with socket.socket(socket.AF_INET, kind) as peer:
        peer.settimeout(2)
        with pytest.raises(OSError):
            peer.connect((address, 80))
            peer.send(b"x")


def test_no_way_out_by_version_6():
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as peer:
        with pytest.raises(OSError):
            peer.connect(("2001:db8::1", 53))


def test_no_raw_sockets():
    for family, kind in ((socket.AF_INET, socket.SOCK_RAW), (socket.AF_PACKET, socket.SOCK_RAW)):
        with pytest.raises(OSError):
            socket.socket(family, kind)


def test_nobody_listens():
    for name in ("tcp", "tcp6", "udp", "udp6", "unix"):
        with open("/proc/net/" + name) as table:
            assert len(table.readlines()) <= 1


def test_no_host_socket_is_in_sight():
    for folder, _, names in os.walk("/run"):
        assert names == []


def test_names_are_not_resolved():
    with pytest.raises(OSError):
        socket.getaddrinfo("testmesh.invalid", 80)


def test_our_own_loopback_works():
    with socket.create_server(("127.0.0.1", 0)) as server:
        with socket.create_connection(server.getsockname(), timeout=5):
            pass
