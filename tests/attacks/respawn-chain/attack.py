import os
import time


def test_each_child_starts_the_next():
    if os.fork() == 0:
        os.setsid()
        while True:
            try:
                if os.fork():
                    os._exit(0)
            except OSError:
                os._exit(0)
