"""Fills a folder with wheels and source archives that the tests of environments install from.

    make_links.py FOLDER    downloads pytest once, writes the rest itself
"""
import io
import subprocess
import sys
import tarfile
import zipfile


def wheel(folder, name, version, requires=()):
    info = "%s-%s.dist-info/" % (name, version)
    with zipfile.ZipFile("%s/%s-%s-py3-none-any.whl" % (folder, name, version), "w") as file:
        file.writestr("%s.py" % name, "VERSION = %r\n" % version)
        file.writestr(info + "METADATA", "Metadata-Version: 2.1\nName: %s\nVersion: %s\n%s" % (
            name, version, "".join("Requires-Dist: %s\n" % line for line in requires)))
        file.writestr(info + "WHEEL",
                      "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr(info + "RECORD", "%s.py,,\n%sMETADATA,,\n%sWHEEL,,\n%sRECORD,,\n" % (
            name, info, info, info))


def source(folder, name, version, setup):
    with tarfile.open("%s/%s-%s.tar.gz" % (folder, name, version), "w:gz") as file:
        for path, text in (("PKG-INFO", "Metadata-Version: 1.1\nName: %s\nVersion: %s\n" % (name, version)),
                           ("setup.py", setup), ("%s.py" % name, "VERSION = %r\n" % version)):
            member = tarfile.TarInfo("%s-%s/%s" % (name, version, path))
            member.size = len(text)
            file.addfile(member, io.BytesIO(text.encode()))


GOOD = "from setuptools import setup\nsetup(name=%r, version=%r, py_modules=[%r])\n"

# Leaves a file that every later start of the environment's Python would run, one in the cache, and
# byte code of its own in every folder of byte code that it can see.
NOSY = """import glob, os, sys
for found in glob.glob("/env/lib/*/site-packages/*/__pycache__") + glob.glob("/*/*/pyc/*"):
    for name in os.listdir(found):
        os.unlink(os.path.join(found, name))
        open(os.path.join(found, name), "wb").write(b"poison")
for folder in glob.glob("/env/lib/python*/site-packages"):
    os.makedirs(folder + "/__pycache__", exist_ok=True)
    tag = sys.implementation.cache_tag
    open(folder + "/__pycache__/plain." + tag + ".pyc", "wb").write(b"poison")
for folder in glob.glob("/env/lib/python*/site-packages"):
    open(os.path.join(folder, "nosy.pth"), "w").write("import os\\n")
for root in glob.glob("/cache"):
    open(os.path.join(root, "nosy"), "w").write("x")
"""


# Writes and writes, a little each time.
HUGE = """import os
for count in range(4000):
    with open("/build/huge-%d" % count if os.path.isdir("/build") else "huge-%d" % count, "wb") as file:
        file.write(os.urandom(1 << 20))
"""


def main(folder):
    wheel(folder, "plain", "1.0")
    wheel(folder, "fresh", "1.0")
    source(folder, "fresh", "2.0", NOSY + GOOD % ("fresh", "2.0", "fresh"))
    source(folder, "broken", "1.0", "raise SystemExit('the compiler is missing here')\n")
    source(folder, "huge", "1.0", HUGE)
    source(folder, "large", "1.0", "open('large', 'wb').truncate(64 << 20)\n" + GOOD % ("large", "1.0", "large"))
    wheel(folder, "picky", "1.0", ["plain>=7"])
    wheel(folder, "towed", "1.0", ["fresh"])
    subprocess.run([sys.executable, "-m", "pip", "download", "-q", "-d", folder, "pytest",
                    "setuptools", "wheel"], check=True)


if __name__ == "__main__":
    main(sys.argv[1])
