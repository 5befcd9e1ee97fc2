"""Ports of the loopback that nobody has."""

import socket

from mesh import free_ports


def ports_in_a_row(count):
    while True:
        first = free_ports(1)[0]
        if first + count < 65536 and len(set(free_in_a_row(first, count))) == count:
            return first


def free_in_a_row(first, count):
    for port in range(first, first + count):
        with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
            try:
                tcp.bind(("127.0.0.1", port))
                udp.bind(("127.0.0.1", port))
                yield port
            except OSError:
                return
