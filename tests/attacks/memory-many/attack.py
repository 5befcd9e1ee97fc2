import os
import time


def test_many_eat_a_little_each():
    kept = bytearray(b"x") * (24 << 20)
    for _ in range(40):
        if os.fork() == 0:
            kept = bytearray(b"y") * (24 << 20)
            time.sleep(600)
    time.sleep(600)
