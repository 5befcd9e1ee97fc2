def test_descriptors_without_end():
    kept = []
    while True:
        kept.append(open("/dev/null"))
