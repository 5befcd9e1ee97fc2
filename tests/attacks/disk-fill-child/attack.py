import subprocess


def test_another_program_fills_the_disk():
    script = "for n in 0 1 2 3 4 5; do head -c 50000000 /dev/zero > /tmp/$n || exit 3; done"
    assert subprocess.run(["sh", "-c", script], stderr=subprocess.DEVNULL).returncode == 0
