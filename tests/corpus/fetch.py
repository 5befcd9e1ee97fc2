"""Fetch the corpus: real projects, as they are on PyPI, pinned by version and hash.

    python3 tests/corpus/fetch.py [--list] [NAME ...]

Leaves under build/corpus: sdists/ (the files), projects/ (unpacked, one folder a project, with our
testmesh.ini in it), zips/ (one a project, and all.zip with every project, as a user would zip them).
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile

import corpus

# One time stamp for every member keeps the zips, and so the bundles made of them, equal from run to run.
STAMP = (2024, 1, 1, 0, 0, 0)


def sha256_of(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for piece in iter(lambda: file.read(1 << 20), b""):
            digest.update(piece)
    return digest.hexdigest()


def download(projects):
    folder = os.path.join(corpus.BUILD, "sdists")
    os.makedirs(folder, exist_ok=True)
    missing = [p for p in projects if not is_good(os.path.join(folder, p.file), p.sha256)]
    if missing:
        names = [f"{p.name}=={p.version}" for p in missing]
        script = os.path.join(corpus.HERE, "sdist.py")
        subprocess.run([sys.executable, script, folder] + names, check=True)
    for project in missing:
        path = os.path.join(folder, project.file)
        if not is_good(path, project.sha256):
            raise SystemExit(f"{path}: not the file that corpus.json pins ({project.sha256})")


def is_good(path, sha256):
    return os.path.exists(path) and sha256_of(path) == sha256


def unpack(project):
    if os.path.exists(os.path.join(project.tree, "testmesh.ini")):
        write_ini(project)  # corpus.json may say something else by now
        return
    shutil.rmtree(project.tree, ignore_errors=True)
    parent = os.path.dirname(project.tree)
    os.makedirs(parent, exist_ok=True)
    with tarfile.open(os.path.join(corpus.BUILD, "sdists", project.file)) as archive:
        if hasattr(tarfile, "data_filter"):
            archive.extractall(parent, filter="data")
        else:
            archive.extractall(parent)
    write_ini(project)


def write_ini(project):
    with open(os.path.join(project.tree, "testmesh.ini"), "w", encoding="utf-8") as file:
        file.write(ini_of(project))


def ini_of(project):
    """What a teacher would write beside a project whose own metadata does not say enough."""
    lines = "".join(f"    {requirement}\n" for requirement in project.requirements)
    return f"[testmesh]\ndependencies =\n{lines}"


def pack(path, projects):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with zipfile.ZipFile(path + ".part", "w", zipfile.ZIP_DEFLATED) as archive:
        for project in projects:
            for folder, folders, files in os.walk(project.tree):
                folders.sort()
                for name in sorted(files):
                    full = os.path.join(folder, name)
                    if not os.path.islink(full):
                        add(archive, full, os.path.relpath(full, os.path.dirname(project.tree)))
    os.replace(path + ".part", path)


def add(archive, full, name):
    info = zipfile.ZipInfo(name, STAMP)
    info.external_attr = (0o755 if os.access(full, os.X_OK) else 0o644) << 16
    info.compress_type = zipfile.ZIP_DEFLATED
    with open(full, "rb") as file:
        archive.writestr(info, file.read())


def fetch(names=()):
    projects = corpus.select(names)
    download(projects)
    for project in projects:
        unpack(project)
        if not os.path.exists(project.zip):
            pack(project.zip, [project])
    if not names:
        everything = os.path.join(corpus.BUILD, "zips", "all.zip")
        if not os.path.exists(everything):
            pack(everything, projects)
    return projects


def main():
    parser = argparse.ArgumentParser(description="Fetch the corpus of real projects.")
    parser.add_argument("--list", action="store_true", help="say what each project is there for")
    parser.add_argument("names", nargs="*", help="projects to fetch; all by default")
    arguments = parser.parse_args()
    if arguments.list:
        for project in corpus.select(arguments.names):
            print(f"{project.name} {project.version}: {project.shows}")
        return
    for project in fetch(arguments.names):
        print(project.zip)


if __name__ == "__main__":
    main()
