def test_fills_the_disk():
    number = 0
    while True:
        with open("/tmp/fill-%d" % number, "wb") as file:
            for _ in range(32):
                file.write(b"x" * (1 << 20))
        number += 1
