def test_writes_one_large_file():
    with open("large", "wb") as file:
        for _ in range(65):
            file.write(b"x" * (1 << 20))
