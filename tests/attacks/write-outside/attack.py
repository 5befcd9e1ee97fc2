import os
import sys

import pytest

MARK = "left-by-an-attack"
FOLDERS = sorted({"/", "/usr", "/etc", "/opt", "/proc", "/dev", "/run", "/var", "/home",
                  sys.prefix, sys.base_prefix, os.path.dirname(pytest.__file__)})


@pytest.mark.parametrize("folder", FOLDERS)
def test_nothing_is_made(folder):
    with pytest.raises(OSError):
        with open(os.path.join(folder, MARK), "w"):
            pass


@pytest.mark.parametrize("path", [pytest.__file__, os.__file__, sys.executable, "/etc/passwd"])
def test_nothing_is_changed(path):
    for change in (lambda: open(path, "ab"), lambda: os.unlink(path), lambda: os.chmod(path, 0o777),
                   lambda: os.rename(path, path + ".old"), lambda: os.utime(path)):
        with pytest.raises(OSError):
            change()


def test_nothing_was_left_for_us():
    for folder in ("/tmp", "/dev/shm", os.environ["HOME"]):
        assert not os.path.exists(os.path.join(folder, MARK))
        with open(os.path.join(folder, MARK), "w"):
            pass
