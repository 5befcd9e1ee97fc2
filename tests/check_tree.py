"""What the tree must not hold: paths of one machine, marks of unfinished work, files of great length."""

import os
import re
import subprocess
import warnings

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
THIS = os.path.relpath(os.path.abspath(__file__), ROOT)
LINES = 400
KINDS = (".c", ".h", ".py", ".sh", ".md", ".txt", ".cmake", ".json", ".yml", ".yaml", ".toml", ".js", ".css",
         ".html")

# Folders of one machine belong to whoever wrote a line, not to the project. /work/<project> is a place
# inside the sandbox, and stays allowed. Tests name homes on purpose, to show that they are out of reach.
MACHINE = re.compile(r"/work/(main|shared)\b")
HOMES = re.compile(r"/home/[a-z]+/|/root/|/Users/\w+/|/opt/wheels")
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX|HACK|TBD)\b|not yet implemented", re.I)


def tracked():
    """Files of the project: git's list, or, in an unpacked archive, all that is not built."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, stdout=subprocess.PIPE,
                            stderr=subprocess.DEVNULL, text=True)
    if listed.returncode == 0:
        return [name for name in listed.stdout.split("\0") if name and os.path.isfile(os.path.join(ROOT, name))]
    found = []
    for folder, below, names in os.walk(ROOT):
        below[:] = [name for name in below if name not in ("build", ".git", ".testmesh", "__pycache__")]
        found += [os.path.relpath(os.path.join(folder, name), ROOT) for name in names]
    return found


def lines():
    for name in tracked():
        if name == THIS or not (name.endswith(KINDS) or os.path.basename(name) in ("boot.sh", "run")):
            continue
        with open(os.path.join(ROOT, name), encoding="utf-8", errors="replace") as file:
            for number, line in enumerate(file, 1):
                yield name, number, line


def test_no_path_of_one_machine():
    wrong = [f"{name}:{number}: {line.strip()}" for name, number, line in lines()
             if MACHINE.search(line) or (HOMES.search(line) and not name.startswith("tests/"))]
    assert not wrong, "\n".join(wrong)


def test_nothing_is_marked_as_unfinished():
    wrong = [f"{name}:{number}: {line.strip()}" for name, number, line in lines()
             if UNFINISHED.search(line)]
    assert not wrong, "\n".join(wrong)


def test_files_are_short_enough_to_read():
    """A warning: some files are better whole. Sources only."""
    for name in tracked():
        if name.endswith((".c", ".h", ".py")) and not name.startswith("tests/corpus/"):
            with open(os.path.join(ROOT, name), encoding="utf-8", errors="replace") as file:
                count = sum(1 for _ in file)
            if count > LINES + LINES // 4:
                warnings.warn(f"{name} has {count} lines")


def test_shell_scripts_are_valid_and_strict():
    for name in ("boot.sh", ".ci/run"):
        path = os.path.join(ROOT, name)
        subprocess.run(["bash", "-n", path], check=True)
        assert os.access(path, os.X_OK), f"{name} is not executable"
        with open(path, encoding="utf-8") as file:
            assert "set -euo pipefail" in file.read()


def test_packages_are_one_a_line_sorted_and_once():
    seen = []
    for list_name in ("debian.txt", "debian-test.txt", "debian-full.txt"):
        with open(os.path.join(ROOT, "deps", list_name), encoding="utf-8") as file:
            names = [line.strip() for line in file if line.strip() and not line.startswith("#")]
        assert names == sorted(names), list_name
        seen += names
    assert len(seen) == len(set(seen))
    assert all(re.fullmatch(r"[a-z0-9][a-z0-9.+-]+", name) for name in seen)
