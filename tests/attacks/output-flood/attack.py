import os


def test_flood():
    line = b"y" * 65536
    while True:
        os.write(1, line)
        os.write(2, line)
