"""Compiles the files of an environment that have no byte code yet: LIST ROOT OUT.

LIST has lines `<hash> <path below ROOT>`; OUT/<hash>.pyc is written for each that compiles. Runs in
a jail without network, by the bare interpreter: nothing of the environment is imported. What is
written trusts its source's name alone (unchecked): environments never change.
"""
import os
import sys
from importlib.util import MAGIC_NUMBER, source_hash
from marshal import dumps


def compile_one(path, target):
    with open(path, "rb") as file:
        source = file.read()
    code = compile(source, path, "exec", dont_inherit=True)
    with open(target, "wb") as file:
        file.write(MAGIC_NUMBER + b"\1\0\0\0" + source_hash(source) + dumps(code))


def compile_all(lines, root, out):
    for line in lines:
        name, _, path = line.partition(" ")
        try:
            compile_one(root + "/" + path, out + "/" + name + ".pyc")
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            pass  # no Python 3: it will say so where it is imported


def main(listed, root, out):
    with open(listed, encoding="utf-8", errors="surrogateescape") as file:
        lines = file.read().split("\n")[:-1]
    count = min(len(os.sched_getaffinity(0)), 4, 1 + len(lines) // 64)
    others = []
    for i in range(1, count):
        pid = os.fork()
        if pid == 0:
            try:
                compile_all(lines[i::count], root, out)
            finally:
                os._exit(0)
        others.append(pid)
    compile_all(lines[::count], root, out)
    for pid in others:
        os.waitpid(pid, 0)


main(*sys.argv[1:])
