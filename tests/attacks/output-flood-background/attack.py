import os
import time


def test_background_flood():
    if os.fork() == 0:
        os.setsid()
        while True:
            os.write(1, b"y" * 65536)
    time.sleep(600)
