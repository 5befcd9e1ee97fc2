import os
import socket
import stat


def test_a_child_speaks_for_us():
    if os.fork() == 0:
        for descriptor in range(3, 256):
            try:
                if stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                    channel = socket.socket(fileno=os.dup(descriptor))
                    channel.send(b"\x85\xa4kind\xa3end\xa4code\x00")
            except OSError:
                pass
        os._exit(0)
    os.wait()
    assert False
