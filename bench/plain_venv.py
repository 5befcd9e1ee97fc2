"""pytest in an environment of its own, as a rival of benchmarks that need no project's packages."""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time

PYTEST = "pytest==8.4.2"
XDIST = "pytest-xdist==3.8.0"


@contextlib.contextmanager
def made(more):
    """(folder, python) of a fresh environment with pytest and `more`; gone afterwards."""
    folder = tempfile.mkdtemp(prefix="testmesh-bench-")
    try:
        subprocess.run([sys.executable, "-m", "venv", f"{folder}/venv"], check=True)
        python = f"{folder}/venv/bin/python"
        subprocess.run([python, "-m", "pip", "install", "-q", PYTEST, *more], check=True)
        yield folder, python
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def environment():
    """As a user has it: Python writes its byte code."""
    kept = dict(os.environ)
    kept.pop("PYTHONDONTWRITEBYTECODE", None)
    return kept


def pytest_seconds(python, folder, arguments):
    """How long one run takes, started to ended; it must pass."""
    started = time.perf_counter()
    subprocess.run([python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments], cwd=folder,
                   env=environment(), stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - started
