"""The simulator as the tests run it."""

import os
import re
import subprocess

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FULL = os.environ.get("TESTMESH_FULL") == "1"
SUMMARY = re.compile(r"^seeds (\d+) violations (\d+) hash ([0-9a-f]{16})$", re.M)


def folder(variable, name):
    return os.environ.get(variable) or os.path.join(ROOT, "build", name)


def release():
    program = os.environ.get("TESTMESH_PROGRAM")
    place = os.path.dirname(program) if program else os.path.join(ROOT, "build", "release")
    return os.path.join(place, "mesh-sim")


def sanitized():
    return os.path.join(folder("TESTMESH_BUILD_DEBUG", "debug"), "mesh-sim")


def run(*words, program=None, timeout=1800):
    """Returns (exit code, all that it said)."""
    done = subprocess.run([program or release(), *map(str, words)], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=timeout)
    return done.returncode, done.stdout


def seeds(*words, **options):
    """Runs seeds that must all be well. Returns (how many, hash)."""
    code, output = run(*words, **options)
    found = SUMMARY.search(output)
    assert code == 0 and found and found.group(2) == "0", output[-4000:]
    return int(found.group(1)), found.group(3)
