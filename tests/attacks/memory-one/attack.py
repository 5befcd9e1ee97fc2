def test_eats_memory():
    kept = []
    while True:
        kept.append(bytearray(b"x") * (16 << 20))
