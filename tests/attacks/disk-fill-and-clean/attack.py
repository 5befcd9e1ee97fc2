import tempfile


def test_fills_the_disk_and_cleans_up():
    with tempfile.TemporaryDirectory() as folder:
        number = 0
        while True:
            with open("%s/%d" % (folder, number), "wb") as file:
                for _ in range(32):
                    file.write(b"x" * (1 << 20))
            number += 1
