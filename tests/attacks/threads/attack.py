import threading
import time


def test_threads_without_end():
    while True:
        threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
