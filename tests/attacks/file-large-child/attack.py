import subprocess


def test_another_program_writes_one_large_file():
    subprocess.run(["sh", "-c", "head -c 70000000 /dev/zero > /tmp/large"], check=True)
