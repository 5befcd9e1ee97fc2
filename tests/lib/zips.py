"""Zip archives for tests: of folders, of texts, and of nothing that anybody would send on purpose."""

import io
import os
import zipfile

EXAMPLES = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))),
                        "examples")
SKIPPED = {"__pycache__", ".pytest_cache", ".git"}


def of_files(files, method=zipfile.ZIP_DEFLATED):
    """The bytes of a zip with {name: text or bytes}."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return out.getvalue()


def files_of(folder, prefix=""):
    """{name: bytes} of a folder's files, without caches."""
    files = {}
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(set(folders) - SKIPPED)
        for name in sorted(names):
            path = os.path.join(parent, name)
            with open(path, "rb") as file:
                files[prefix + os.path.relpath(path, folder)] = file.read()
    return files


def of_examples(*names):
    """A zip of example projects, one folder each; of all of them without names."""
    names = names or sorted(name for name in os.listdir(EXAMPLES)
                            if os.path.isdir(os.path.join(EXAMPLES, name)))
    files = {}
    for name in names:
        files.update(files_of(os.path.join(EXAMPLES, name), name + "/"))
    return of_files(files)


def project(name, **modules):
    """{file: text} of a project of one-file test modules: project("a", test_x="def test(): …")."""
    return {f"{name}/tests/{module}.py": text for module, text in modules.items()}


def passing(count):
    """A module with `count` passing tests."""
    return "".join(f"def test_{number}():\n    pass\n\n\n" for number in range(count))


def sleeping(seconds, count=1):
    """A module whose tests sleep."""
    text = "import time\n\n\n"
    for number in range(count):
        text += f"def test_{number}():\n    time.sleep({seconds})\n\n\n"
    return text
