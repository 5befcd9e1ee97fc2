import os
import signal


def test_kills_whatever_it_can():
    if os.fork() == 0:
        os.execvp("sleep", ["sleep", "600"])
    os.kill(-1, signal.SIGKILL)
    assert os.wait()[1] == signal.SIGKILL
