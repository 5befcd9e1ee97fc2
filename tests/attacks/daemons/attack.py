import os
import signal
import time


def daemonise():
    if os.fork():
        return
    os.setsid()
    for number in range(1, 32):
        try:
            signal.signal(number, signal.SIG_IGN)
        except (OSError, ValueError):
            pass
    if os.fork():
        os._exit(0)
    for descriptor in range(0, 256):
        try:
            os.close(descriptor)
        except OSError:
            pass
    time.sleep(600)


def test_leaves_daemons_behind():
    for _ in range(5):
        daemonise()
