import os
import signal


def test_dies_of_one_large_file():
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    with open("large", "wb") as file:
        os.truncate(file.fileno(), (64 << 20) + 1)
