"""What the corpus is made of: the manifest, its folders, and the environments its projects need."""

import hashlib
import json
import os
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
MANIFEST = os.path.join(HERE, "corpus.json")
PLUGIN = os.path.join(HERE, "reference_plugin.py")
BUILD = os.environ.get("TESTMESH_CORPUS_BUILD", os.path.join(ROOT, "build", "corpus"))


class Project:
    def __init__(self, row):
        self.name = row["name"]
        self.version = row["version"]
        self.sha256 = row["sha256"]
        self.file = row["file"]
        self.requirements = row["requirements"]
        self.shows = row["shows"]
        # Whether one pytest over the whole project gives what its modules give one by one.
        self.alike = row.get("alike", True)
        self.folder = self.file[: -len(".tar.gz")]

    @property
    def tree(self):
        return os.path.join(BUILD, "projects", self.folder)

    @property
    def src_layout(self):
        """Whether the node puts src on the path beside the root."""
        src = os.path.join(self.tree, "src")
        return os.path.isdir(src) and not os.path.exists(os.path.join(src, "__init__.py"))

    @property
    def zip(self):
        return os.path.join(BUILD, "zips", self.folder + ".zip")


def load():
    with open(MANIFEST, encoding="utf-8") as file:
        manifest = json.load(file)
    return [Project(row) for row in manifest["projects"]]


def select(names):
    """The projects called `names`; all for an empty list."""
    projects = load()
    unknown = set(names) - {project.name for project in projects}
    if unknown:
        raise SystemExit(f"no such project in the corpus: {', '.join(sorted(unknown))}")
    return [project for project in projects if not names or project.name in names]


def python_identity(python):
    code = "import sys; print(sys.executable, sys.version.split()[0], sys.implementation.cache_tag)"
    return subprocess.run(
        [python, "-I", "-c", code], check=True, stdout=subprocess.PIPE, universal_newlines=True
    ).stdout.split()


def key_of(*parts):
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def find_uv():
    tools = [os.path.join(ROOT, *parts) for parts in (
        (".testmesh", "tools", "bin", "uv"), (".testmesh", "tools", "venv", "bin", "uv"),
        ("build", "tools", "bin", "uv"))]
    for path in [os.environ.get("TESTMESH_UV"), *tools]:
        if path and os.access(path, os.X_OK):
            return path
    return shutil.which("uv")


def environment(project, python, more=()):
    """The folder of a venv with the project's pinned requirements (and `more`), built when it is
    missing."""
    executable, version, _ = python_identity(python)
    with open(PLUGIN, encoding="utf-8") as file:
        plugin = file.read()
    requirements = project.requirements + list(more)
    key = key_of(executable, version, plugin, *sorted(requirements))
    folder = os.path.join(BUILD, "envs", key)
    if os.path.exists(os.path.join(folder, "complete")):
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([executable, "-m", "venv", "--without-pip", folder], check=True)
    install(folder, requirements)
    site = os.path.join(folder, "lib", "python" + ".".join(version.split(".")[:2]), "site-packages")
    shutil.copy(PLUGIN, os.path.join(site, "testmesh_reference.py"))
    inner = os.path.join(folder, "bin", "python")
    subprocess.run([inner, "-I", "-m", "compileall", "-q", site], stdout=subprocess.DEVNULL,
                   env={k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"})
    open(os.path.join(folder, "complete"), "w").close()
    return folder


def install(folder, requirements):
    if not requirements:
        return
    uv, inner = find_uv(), os.path.join(folder, "bin", "python")
    if uv and not os.environ.get("PIP_INDEX_URL") and not os.environ.get("PIP_FIND_LINKS"):
        command = [uv, "pip", "install", "--quiet", "--python", inner]
    else:
        command = [sys.executable, "-m", "pip", "--python", inner, "install", "--quiet"]
    subprocess.run(command + list(requirements), check=True)


def copy_tree(source, target, uid=None):
    """A writable copy with the sources' times; owned by `uid` where we may give files away."""
    shutil.copytree(source, target, symlinks=True)
    if uid is not None and os.geteuid() == 0:
        for folder, _, files in os.walk(target):
            os.chown(folder, uid, uid)
            for name in files:
                os.lchown(os.path.join(folder, name), uid, uid)
