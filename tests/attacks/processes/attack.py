import os
import time


def test_has_more_children_than_it_may():
    for _ in range(100):
        if os.fork() == 0:
            time.sleep(1)
            os._exit(0)
