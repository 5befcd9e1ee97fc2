import os
import signal


def test_stops():
    for target in (os.getppid(), os.getpid()):
        os.kill(target, signal.SIGSTOP)
