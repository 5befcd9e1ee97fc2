import os
import socket
import stat


def test_writes_to_every_socket():
    for descriptor in range(3, 256):
        try:
            if stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                channel = socket.socket(fileno=os.dup(descriptor))
                channel.send(b"\x85\xa4kind\xa3end\xa4code\x00")
                channel.send(b"\xdd\x10\x00\x00\x00")
                channel.send(b"\x00" * 1000)
        except OSError:
            pass
    assert False
