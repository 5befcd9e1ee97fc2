"""Download source distributions without building them.

    python3 tests/corpus/sdist.py FOLDER NAME==VERSION ...

`pip download` runs each project's build code to learn its metadata, and knows no other way. So this
borrows two parts of pip, its finder and its session, and with them everything the operator told pip:
index, find-links, certificates, proxy, credentials. Where this pip has other insides, `pip download`
itself is used: slower, the same file in the end. The caller checks the hashes.
"""

import os
import subprocess
import sys


class Downloader:
    """pip's own finder and session, with the options that pip itself would have."""

    def __init__(self):
        from pip._internal.commands import create_command

        command = create_command("download")
        options, _ = command.parse_args(["--no-deps", "--no-binary", ":all:", "--quiet", "x"])
        self.options = options
        with command.main_context():
            self.session = command.get_default_session(options)
            self.finder = command._build_package_finder(options, self.session)

    def link_of(self, name, version):
        for candidate in self.finder.find_all_candidates(name):
            if version is None or str(candidate.version) == version:
                if not candidate.link.is_wheel:
                    yield candidate.version, candidate.link

    def fetch(self, name, version, folder):
        links = sorted(self.link_of(name, version), key=lambda pair: pair[0])
        if not links:
            raise LookupError(f"no source distribution of {name} {version}")
        link = links[-1][1]
        answer = self.session.get(link.url_without_fragment, headers={"Accept-Encoding": "identity"})
        answer.raise_for_status()
        path = os.path.join(folder, link.filename)
        with open(path + ".part", "wb") as file:
            file.write(answer.content)
        os.replace(path + ".part", path)
        return path


def fetch_by_command(requirement, folder):
    before = set(os.listdir(folder))
    subprocess.run(
        [sys.executable, "-m", "pip", "download", "--no-deps", "--no-binary", ":all:", "--quiet",
         "--dest", folder, requirement],
        check=True,
    )
    for name in set(os.listdir(folder)) - before:
        return os.path.join(folder, name)
    raise LookupError(f"pip downloaded nothing for {requirement}")


def main(arguments):
    folder, requirements = arguments[0], arguments[1:]
    os.makedirs(folder, exist_ok=True)
    try:
        downloader = Downloader()
    except (ImportError, AttributeError, TypeError) as problem:
        print(f"pip has other insides here ({problem}): using its command", file=sys.stderr)
        downloader = None
    for requirement in requirements:
        name, _, version = requirement.partition("==")
        if downloader:
            print(downloader.fetch(name, version or None, folder), flush=True)
        else:
            print(fetch_by_command(requirement, folder), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
