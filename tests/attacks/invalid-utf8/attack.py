import os
import sys


def test_prints_bytes():
    os.write(1, bytes(range(256)) * 8)
    sys.stdout.buffer.write(b"\xff\xfe\xc0\x80\n")
    print("\udcff".encode("utf-8", "surrogateescape"))
