import os
import subprocess

import pytest


def status():
    with open("/proc/self/status") as file:
        return dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)


@pytest.mark.parametrize("name", ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"])
def test_no_capability(name):
    assert int(status()[name], 16) == 0


def test_no_new_privileges_and_a_filter():
    assert status()["NoNewPrivs"] == "1"
    assert status()["Seccomp"] == "2"


def test_no_other_user():
    for change in (os.setuid, os.setgid):
        with pytest.raises(OSError):
            change(0)
    with pytest.raises(OSError):
        os.setgroups([0])


def test_set_user_id_programs_stay_ours():
    for program in ("su", "mount", "passwd", "newgrp"):
        path = "/usr/bin/" + program
        if os.path.exists(path):
            code = subprocess.run([path, "--help"], capture_output=True).returncode
            assert code is not None
    copy = "/tmp/set-user-id"
    with open("/usr/bin/id", "rb") as source, open(copy, "wb") as target:
        target.write(source.read())
    os.chmod(copy, 0o6755)
    assert int(subprocess.check_output([copy, "-u"])) == os.getuid() == 1000


def test_no_limit_is_raised():
    import resource

    for name in ("RLIMIT_NPROC", "RLIMIT_NOFILE", "RLIMIT_FSIZE"):
        hard = resource.getrlimit(getattr(resource, name))[1]
        assert hard != resource.RLIM_INFINITY
        with pytest.raises((ValueError, OSError)):
            resource.setrlimit(getattr(resource, name), (hard, hard + 1))
