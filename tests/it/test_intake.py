"""Zips as people and attackers write them, through the real helper: what each becomes, or by what
name it is refused, how long that took, how much memory it needed, and that nothing is left.

The program is `it_intake_intake`: from $TESTMESH_BUILD_DIR, else the newest one below build/.
"""

import glob
import hashlib
import io
import json
import os
import stat
import struct
import subprocess
import tarfile
import time
import unicodedata
import zipfile
import zlib

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MTIME = 315532800


def find_program():
    folder = os.environ.get("TESTMESH_BUILD_DIR")
    where = [folder] if folder else glob.glob(ROOT + "/build/*") + glob.glob(ROOT + "/build/*/*")
    found = [os.path.join(w, "tests", "it_intake_intake") for w in where]
    found = [f for f in found if os.access(f, os.X_OK)]
    if not found:
        pytest.skip("it_intake_intake is not built", allow_module_level=True)
    return max(found, key=os.path.getmtime)


PROGRAM = find_program()
with open(PROGRAM, "rb") as program_file:
    SANITIZED = b"__asan_init" in program_file.read()


# --- writing zips byte by byte, where zipfile is too well-behaved ------------------------------


class Entry:
    """One entry; what a header says can be set apart from what is there."""

    def __init__(self, name, content=b"", mode=None, method=0, **says):
        self.name = name if isinstance(name, bytes) else name.encode()
        self.mode = mode
        self.method = method
        self.content = content
        self.data = says.get("data")
        if self.data is None:
            self.data = content
            if method == 8:
                deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
                self.data = deflater.compress(content) + deflater.flush()
        self.says = says

    def fields(self, where):
        def said(key, value):
            return self.says.get(where + "_" + key, self.says.get(key, value))

        return (
            said("name", self.name),
            said("flags", 0x800),
            said("method", self.method),
            said("crc", zlib.crc32(self.content)),
            said("packed", len(self.data)),
            said("size", len(self.content)),
        )

    def local(self):
        name, flags, method, crc, packed, size = self.fields("local")
        extra = self.says.get("local_extra", b"")
        return (
            struct.pack("<IHHHHHIIIHH", 0x04034B50, 20, flags, method, 0, 0x21, crc, packed, size,
                        len(name), len(extra))
            + name + extra + self.data
        )

    def central(self, offset):
        name, flags, method, crc, packed, size = self.fields("central")
        extra = self.says.get("central_extra", b"")
        host, outside = (3, self.mode << 16) if self.mode else (0, 0)
        offset = self.says.get("offset", offset)
        return (
            struct.pack("<IBBHHHHHIIIHHHHHII", 0x02014B50, 20, host, 20, flags, method, 0, 0x21,
                        crc, packed, size, len(name), len(extra), 0, 0, 0, outside, offset)
            + name + extra
        )


def end_record(count, size, offset, comment=b"", total=None):
    total = count if total is None else total
    return struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, count, total, size, offset,
                       len(comment)) + comment


def raw_zip(entries, count=None, comment=b""):
    body, central = b"", b""
    for entry in entries:
        central += entry.central(len(body))
        body += entry.local()
    count = len(entries) if count is None else count
    return body + central + end_record(count, len(central), len(body), comment)


def make_zip(files, method=zipfile.ZIP_DEFLATED):
    """What a person's tool writes: {name: text}; a name with a slash behind is a folder."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, content in files.items():
            info = zipfile.ZipInfo(name, (2026, 11, 21, 12, 0, 0))
            info.compress_type = method
            info.create_system = 3
            mode = 0o40755 if name.endswith("/") else 0o100644
            info.external_attr = mode << 16
            archive.writestr(info, content)
    return out.getvalue()


TEST = "def test_one():\n    assert 1\n"
PROJECT = {"alice/tests/test_one.py": TEST, "alice/main.py": "x = 1\n"}
BOB = {"bob/tests/test_one.py": TEST}


def link(name, target, **says):
    return Entry(name, target.encode(), mode=stat.S_IFLNK | 0o777, **says)


def plain(name, text=TEST):
    return Entry(name, text.encode(), mode=0o100644)


# --- calling ---------------------------------------------------------------------------------


class Outcome:
    def __init__(self, answer, seconds, out):
        self.__dict__.update(answer)
        self.seconds = seconds
        self.out = out
        self.by_name = {p["name"]: p for p in answer.get("projects", [])}

    @property
    def names(self):
        return sorted(self.by_name)

    @property
    def ignored_paths(self):
        return sorted(path for path, why in self.ignored)


@pytest.fixture
def call(tmp_path):
    count = [0]

    def call_intake(data, *options):
        count[0] += 1
        path = data
        if isinstance(data, bytes):
            path = tmp_path / ("in%d.zip" % count[0])
            path.write_bytes(data)
        out = tmp_path / ("out%d" % count[0])
        started = time.monotonic()
        run = subprocess.run([PROGRAM, "intake", str(path), str(out), *options],
                             stdout=subprocess.PIPE, timeout=120)
        seconds = time.monotonic() - started
        assert run.returncode == 0
        outcome = Outcome(json.loads(run.stdout), seconds, out)
        if not SANITIZED:
            assert outcome.rss_kib < 64 << 10
        if outcome.code:
            assert not out.exists()
        else:
            left = sorted(os.listdir(out))
            assert left == sorted({os.path.basename(p["path"]) for p in outcome.projects
                                   if p["path"]})
        return outcome

    return call_intake


@pytest.fixture
def tree(tmp_path):
    count = [0]

    def make_tree(*bundles):
        count[0] += 1
        out = tmp_path / ("tree%d" % count[0])
        arguments = []
        for project in bundles:
            arguments += [project["path"], project["bundle"]]
        run = subprocess.run([PROGRAM, "materialise", str(out), *arguments],
                             stdout=subprocess.PIPE, timeout=120)
        answer = json.loads(run.stdout)
        assert not os.path.exists(str(out) + ".tmp")
        assert out.exists() == (answer["code"] is None)
        return out, answer

    return make_tree


def files_below(folder):
    found = {}
    for where, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(where, name)
            found[os.path.relpath(path, folder)] = (
                os.readlink(path) if os.path.islink(path) else open(path, "rb").read()
            )
    return found


# --- refused as a whole ------------------------------------------------------------------------


def zeros(size):
    """Deflated zeros: the same flushed piece again and again, and an empty last block."""
    deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
    piece = deflater.compress(bytes(1 << 20)) + deflater.flush(zlib.Z_FULL_FLUSH)
    return piece * (size >> 20) + b"\x03\x00"


def full_overlap(count=200):
    kernel = Entry("p/test_0.py", bytes(1 << 20), method=8)
    central = b"".join(
        Entry("p/test_%d.py" % i, bytes(1 << 20), method=8).central(0) for i in range(count)
    )
    body = kernel.local()
    return body + central + end_record(count, len(central), len(body))


def same_name_overlap():
    """Both entries point at one local header of the same name: only the extents tell."""
    one = plain("p/test_0.py")
    body = one.local()
    central = one.central(0) + one.central(0)
    return body + central + end_record(2, len(central), len(body))


def quoted_overlap(count=50):
    """Each file begins with a stored block that quotes the next local header, so that every header
    is where the directory says, with the name it says, and all files share one kernel."""
    kernel_content = bytes(1 << 16)
    kernel = Entry("p/%04d" % count, kernel_content, method=8)
    parts = [kernel.local()]
    files = [(kernel, kernel_content)]
    for i in range(count - 1, -1, -1):
        following, following_content = files[0]
        header = parts[0][: 30 + len(following.name)]
        quoted = b"\x00" + struct.pack("<HH", len(header), len(header) ^ 0xFFFF)
        content = header + following_content
        packed = len(quoted) + len(header) + len(following.data)
        entry = Entry("p/%04d" % i, content, method=8, data=quoted + header + following.data)
        assert len(entry.data) == packed
        files.insert(0, (entry, content))
        parts.insert(0, entry.local()[: 30 + len(entry.name)] + quoted)
    offsets, at = [], 0
    for part in parts:
        offsets.append(at)
        at += len(part)
    body = b"".join(parts)
    central = b"".join(entry.central(offset) for (entry, _), offset in zip(files, offsets))
    return body + central + end_record(count + 1, len(central), len(body))


def zip64_end(count, stated_count=None):
    entries = [plain("p/test_%d.py" % i) for i in range(count)]
    body, central = b"", b""
    for entry in entries:
        central += entry.central(len(body))
        body += entry.local()
    stated = count if stated_count is None else stated_count
    at = len(body) + len(central)
    record = struct.pack("<IQHHIIQQQQ", 0x06064B50, 44, 45, 45, 0, 0, stated, stated, len(central),
                         len(body))
    locator = struct.pack("<IIQI", 0x07064B50, 0, at, 1)
    return body + central + record + locator + end_record(0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF)


ONE = plain("p/test_one.py")
GOOD = make_zip(PROJECT)
CONTENT = TEST.encode()

REFUSED = {
    "no bytes": (b"", "archive-empty"),
    "no entries": (raw_zip([]), "archive-empty"),
    "only metadata": (make_zip({"__MACOSX/._x": "x", ".DS_Store": "x"}), "archive-empty"),
    "only its top folder": (raw_zip([Entry("./", mode=0o40755)]), "archive-empty"),
    "text": (b"hello, this is not a zip\n" * 20, "archive-not-zip"),
    "three bytes": (b"abc", "archive-not-zip"),
    "another archive": (b"7z\xbc\xaf\x27\x1c" + bytes(100), "archive-not-zip"),
    "parent": (raw_zip([plain("../x")]), "archive-escape"),
    "absolute": (raw_zip([plain("/abs")]), "archive-escape"),
    "climbing": (raw_zip([plain("a/../../b")]), "archive-escape"),
    "climbing but inside": (raw_zip([plain("a/../b")]), "archive-escape"),
    "backslash parent": (raw_zip([plain("..\\x")]), "archive-escape"),
    "backslash absolute": (raw_zip([plain("\\x")]), "archive-escape"),
    "share": (raw_zip([plain("\\\\host\\x")]), "archive-escape"),
    "drive": (raw_zip([plain("C:\\x")]), "archive-escape"),
    "drive, relative": (raw_zip([plain("c:x")]), "archive-escape"),
    "last part is the parent": (raw_zip([plain("a/..")]), "archive-escape"),
    "NUL": (raw_zip([plain("p/a\0.py")]), "archive-bad-name"),
    "empty": (raw_zip([plain("")]), "archive-bad-name"),
    "empty part": (raw_zip([plain("a//b")]), "archive-bad-name"),
    "a file called dot": (raw_zip([plain(".")]), "archive-bad-name"),
    "300 bytes": (raw_zip([plain("p/" + "a" * 300)]), "archive-bad-name"),
    "1,100 bytes": (raw_zip([plain("/".join(["b" * 100] * 11))]), "archive-bad-name"),
    "200 deep": (raw_zip([plain("a/" * 200 + "x")]), "archive-too-deep"),
    "33 deep": (raw_zip([plain("a/" * 32 + "x")]), "archive-too-deep"),
    "newline": (raw_zip([plain("p/a\nb")]), "archive-bad-name"),
    "escape sequence": (raw_zip([plain("p/\x1b[2Jx")]), "archive-bad-name"),
    "C1 control": (raw_zip([plain("p/\u009b2Jx")]), "archive-bad-name"),
    "flagged UTF-8 that is none": (raw_zip([Entry(b"p/\xff\xfe.py", b"", 0o100644)]),
                                   "archive-bad-name"),
    "surrogate": (raw_zip([Entry(b"p/\xed\xa0\x80.py", b"", 0o100644)]), "archive-bad-name"),
    "overlong slash": (raw_zip([Entry(b"p\xc0\xafx", b"", 0o100644)]), "archive-bad-name"),
    "folder with content": (raw_zip([Entry("p/", b"x", 0o40755)]), "archive-bad-name"),
    "duplicate": (raw_zip([ONE, ONE]), "archive-duplicate"),
    "duplicate by separators": (raw_zip([plain("p/a"), plain("p\\a")]), "archive-duplicate"),
    "duplicate by a dot": (raw_zip([plain("p/a"), plain("./p/./a")]), "archive-duplicate"),
    "file and folder": (raw_zip([plain("p/a"), plain("p/a/b")]), "archive-conflict"),
    "folder and file": (raw_zip([plain("p/a/b"), plain("p/a-c"), plain("p/a")]),
                        "archive-conflict"),
    "file and empty folder": (raw_zip([plain("p/a"), Entry("p/a/", mode=0o40755)]),
                              "archive-conflict"),
    "file through a link": (raw_zip([link("p/l", "/tmp"), plain("p/l/x")]), "archive-conflict"),
    "full overlap": (full_overlap(), "archive-header-lie"),
    "full overlap, one name": (same_name_overlap(), "archive-overlap"),
    "quoted overlap": (quoted_overlap(), "archive-overlap"),
    "smaller in both headers": (
        raw_zip([Entry("p/a.py", CONTENT * 9, method=8, size=len(CONTENT))]), "archive-size-lie"),
    "larger in both headers": (
        raw_zip([Entry("p/a.py", CONTENT, method=8, size=len(CONTENT) + 1)]), "archive-size-lie"),
    "central only": (
        raw_zip([Entry("p/a.py", CONTENT, method=8, central_size=5)]), "archive-size-lie"),
    "stored, two sizes": (
        raw_zip([Entry("p/a.py", CONTENT, size=5)]), "archive-size-lie"),
    "made of nothing": (
        raw_zip([Entry("p/a.py", b"", method=8, data=b"", size=5)]), "archive-size-lie"),
    "bad checksum": (raw_zip([Entry("p/a.py", CONTENT, method=8, crc=1)]), "archive-bad-crc"),
    "bad checksum, stored": (raw_zip([Entry("p/a.py", CONTENT, crc=1)]), "archive-bad-crc"),
    "bad checksum in the last project": (
        raw_zip([plain("a/test_a.py"), plain("b/test_a.py"),
                 Entry("c/test_a.py", CONTENT, 0o100644, crc=1)]), "archive-bad-crc"),
    "checksums disagree": (raw_zip([Entry("p/a.py", CONTENT, local_crc=1)]),
                           "archive-header-lie"),
    "no deflate stream": (
        raw_zip([Entry("p/a.py", CONTENT, method=8, data=b"\xff" * 20)]), "archive-bad-data"),
    "names disagree": (
        raw_zip([Entry("p/a.py", CONTENT, local_name=b"p/b.py")]), "archive-header-lie"),
    "methods disagree": (
        raw_zip([Entry("p/a.py", CONTENT, method=8, local_method=0)]), "archive-header-lie"),
    "encrypted": (raw_zip([Entry("p/a.py", CONTENT, flags=0x801)]), "archive-encrypted"),
    "strongly encrypted": (raw_zip([Entry("p/a.py", CONTENT, flags=0x841)]), "archive-encrypted"),
    "bzip2": (raw_zip([Entry("p/a.py", CONTENT, method=12)]), "archive-method"),
    "no known method": (raw_zip([Entry("p/a.py", CONTENT, method=77)]), "archive-method"),
    "two concatenated": (GOOD + GOOD, "archive-prefixed"),
    "prefixed": (b"#!/bin/sh\n" + GOOD, "archive-prefixed"),
    "trailing": (GOOD + b"\n", "archive-trailing"),
    "count too low": (raw_zip([ONE, plain("p/b.py")], count=1), "archive-count-lie"),
    "count too high": (raw_zip([ONE, plain("p/b.py")], count=3), "archive-count-lie"),
    "count far too high": (raw_zip([ONE], count=60000), "archive-count-lie"),
    "two counts": (GOOD[:-12] + struct.pack("<H", 9) + GOOD[-10:], "archive-count-lie"),
    "Zip64 count too high": (zip64_end(2, 3), "archive-count-lie"),
    "a million entries, stated": (zip64_end(2, 1000000), "archive-too-many-entries"),
    "2^63 entries, stated": (zip64_end(2, 1 << 63), "archive-too-many-entries"),
    "one of several disks": (
        GOOD[:-22] + GOOD[-22:-18] + b"\x01\x00\x01\x00" + GOOD[-14:], "archive-multipart"),
    "offset outside": (raw_zip([Entry("p/a.py", CONTENT, offset=1 << 30)]), "archive-truncated"),
    "bomb of 50 MiB": (
        raw_zip([Entry("p/a.bin", b"", method=8, data=zeros(50 << 20), size=50 << 20)]),
        "archive-bomb"),
    "1 GiB of zeros": (
        raw_zip([Entry("p/a.bin", b"", method=8, data=zeros(1 << 30), size=1 << 30),
                 plain("q/test_one.py")]), "archive-bomb"),
    "exabytes": (
        raw_zip([Entry("p/a.bin", b"", method=8, data=b"x", size=0xFFFFFFFF,
                       central_extra=struct.pack("<HHQ", 1, 8, (1 << 64) - 1)),
                 Entry("p/b.bin", b"", method=8, data=b"x", size=0xFFFFFFFF,
                       central_extra=struct.pack("<HHQ", 1, 8, (1 << 64) - 1))]), "archive-bomb"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_by_name_at_once_with_nothing_left(name, call):
    data, reason = REFUSED[name]
    outcome = call(data)
    assert (outcome.code, outcome.reason) == ("unprocessable", reason), outcome.text
    assert outcome.seconds < 1 or SANITIZED


def test_a_message_shows_no_control_characters(call):
    outcome = call(raw_zip([plain("p/\x1b[2J\n\x07\u009b")]))
    assert "\\x1b[2J\\x0a\\x07" in outcome.text
    assert all(c >= " " and not "\x7f" <= c < "\xa0" for c in outcome.text)


def test_a_long_name_in_a_message_is_cut_and_the_reason_stays(call):
    name = "p/" + "/".join(["\u00e9" * 120] * 4)
    for pad in ("", "x"):
        outcome = call(raw_zip([Entry(name + pad, CONTENT, 0o100644, crc=1)]))
        assert outcome.reason == "archive-bad-crc"


def test_truncated_anywhere(call):
    for at in sorted({1, 2, 3, 4, 21, 22, 29, 30, 31, *range(35, len(GOOD), 41), len(GOOD) - 22,
                      len(GOOD) - 21, len(GOOD) - 1}):
        outcome = call(GOOD[:at])
        assert outcome.reason == "archive-truncated", at


def test_a_flipped_bit_is_never_taken_for_other_content(call, tree):
    wanted = call(GOOD).by_name["alice"]["tree"]
    for at in range(0, len(GOOD), 11):
        data = bytearray(GOOD)
        data[at] ^= 1 << (at % 8)
        outcome = call(bytes(data))
        if outcome.code:
            assert outcome.reason.startswith("archive-"), outcome.text
            continue
        for project in outcome.projects:
            if project["path"] and project["tree"] != wanted:
                found = files_below(tree(project)[0])
                assert set(found.values()) <= {CONTENT, b"x = 1\n"}


def many(count, tmp_path):
    """A real archive of `count` entries, written without zipfile, which would take a minute."""
    path = tmp_path / "many.zip"
    sizes = []
    with open(path, "wb") as out:
        at, central = 0, []
        for i in range(count):
            name = b"p%03d/d%d/f%07d.py" % (i % 300, i % 7, i)
            local = struct.pack("<IHHHHHIIIHH", 0x04034B50, 20, 0, 0, 0, 0x21, 0, 0, 0, len(name),
                                0) + name
            central.append(struct.pack("<IBBHHHHHIIIHHHHHII", 0x02014B50, 20, 3, 20, 0, 0, 0, 0x21,
                                       0, 0, 0, len(name), 0, 0, 0, 0, 0o100644 << 16, at) + name)
            out.write(local)
            at += len(local)
        directory = b"".join(central)
        out.write(directory)
        end = at + len(directory)
        out.write(struct.pack("<IQHHIIQQQQ", 0x06064B50, 44, 45, 45, 0, 0, count, count,
                              len(directory), at))
        out.write(struct.pack("<IIQI", 0x07064B50, 0, end, 1))
        out.write(end_record(0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF))
    return path


def test_a_million_entries_are_refused_at_once(call, tmp_path):
    outcome = call(many(1000000, tmp_path))
    assert outcome.reason == "archive-too-many-entries"
    assert outcome.seconds < 1


def test_seventy_thousand_entries_are_read_within_memory(call, tmp_path):
    outcome = call(many(70000, tmp_path))
    assert outcome.code is None
    assert len(outcome.projects) == 300
    assert sum(p["file_count"] for p in outcome.projects) == 70000


def test_the_most_entries_there_may_be_fit_into_memory(call, tmp_path):
    outcome = call(many(200000, tmp_path))
    assert outcome.code is None, outcome.text


def test_limits_fail_one_project_of_several_and_the_archive_of_one(call):
    big = os.urandom(3 << 20)
    both = make_zip({**PROJECT, "bob/test_a.py": TEST, "bob/data.bin": big})
    outcome = call(both, "file=%d" % (1 << 20))
    assert outcome.by_name["bob"]["reason"] == "archive-too-large"
    assert "data.bin" in outcome.by_name["bob"]["failure"]
    assert outcome.by_name["alice"]["failure"] is None
    assert call(both, "project=%d" % (2 << 20)).by_name["bob"]["reason"] == "archive-too-large"
    assert call(both, "project_entries=2").by_name["bob"]["failure"] is None
    assert call(both, "project_entries=1").by_name["bob"]["reason"] == "archive-too-many-entries"
    assert call(both, "total=%d" % (2 << 20)).reason == "archive-too-large"
    alone = make_zip({"bob/test_a.py": TEST, "bob/data.bin": big})
    assert call(alone, "file=%d" % (1 << 20)).reason == "archive-too-large"


# --- one project fails -------------------------------------------------------------------------

FAILING = {
    "link to a file outside": link("alice/l", "/etc/passwd"),
    "link to a folder outside": link("alice/l", "../../etc"),
    "link to another project": link("alice/l", "../bob/tests"),
    "link up through a folder": link("alice/l", "tests/../../x"),
    "empty link": link("alice/l", ""),
    "link with a NUL": link("alice/l", "a\0b"),
    "long link": link("alice/l", "a/" * 3000),
    "fifo": Entry("alice/f", mode=stat.S_IFIFO | 0o644),
    "character device": Entry("alice/f", mode=stat.S_IFCHR | 0o644),
    "block device": Entry("alice/f", mode=stat.S_IFBLK | 0o644),
    "socket": Entry("alice/f", mode=stat.S_IFSOCK | 0o644),
}


@pytest.mark.parametrize("name", FAILING)
def test_one_students_mistake_refuses_no_class(name, call):
    outcome = call(raw_zip([plain("alice/test_a.py"), FAILING[name], plain("bob/test_a.py")]))
    assert outcome.names == ["alice", "bob"]
    alice, bob = outcome.by_name["alice"], outcome.by_name["bob"]
    assert alice["reason"] == ("link-outside" if "link" in name else "special-file")
    assert "l is a link" in alice["failure"] or "f is a pipe" in alice["failure"]
    assert alice["path"] is None
    assert bob["failure"] is None


def test_links_that_stay_are_kept(call, tree):
    outcome = call(raw_zip([
        plain("alice/test_a.py"), plain("alice/data/x.txt"), link("alice/here", "data/x.txt"),
        link("alice/data/up", "../test_a.py"), link("alice/data/root", ".."),
        link("alice/dangling", "nowhere"), plain("bob/test_a.py")]))
    out, _ = tree(outcome.by_name["alice"])
    assert files_below(out)["here"] == "data/x.txt"
    assert os.readlink(out / "data" / "up") == "../test_a.py"
    assert os.readlink(out / "data" / "root") == ".."
    assert os.lstat(out / "here").st_mtime == MTIME


# --- how people zip ------------------------------------------------------------------------------

P = "x = 1\n"
SHAPES = {
    "a single project at the top": (
        {"tests/test_a.py": TEST, "main.py": P}, ["project"], []),
    "files only": ({"test_a.py": TEST, "main.py": P}, ["project"], []),
    "one folder, one project": (PROJECT, ["alice"], []),
    "one folder of many": (
        {"class/" + k: v for k, v in {**PROJECT, **BOB}.items()}, ["alice", "bob"], []),
    "many": ({**PROJECT, **BOB}, ["alice", "bob"], []),
    "wrapped three times": (
        {"a/b/c/" + k: v for k, v in {**PROJECT, **BOB}.items()}, ["alice", "bob"], []),
    "wrapped, one": ({"class/" + k: v for k, v in PROJECT.items()}, ["alice"], []),
    "explicit folders": (
        {"class/": "", "class/alice/": "", "class/alice/tests/": "",
         "class/alice/tests/test_a.py": TEST, "class/bob/": "", "class/bob/test_a.py": TEST},
        ["alice", "bob"], []),
    "macOS": (
        {**PROJECT, "__MACOSX/alice/._main.py": "x", "alice/.DS_Store": "x", ".DS_Store": "x"},
        ["alice"], [".DS_Store", "__MACOSX", "alice/.DS_Store"]),
    "stray files beside projects": (
        {**PROJECT, **BOB, "README.md": "hi", "grade.py": P}, ["alice", "bob"],
        ["README.md", "grade.py"]),
    "stray file beside a wrapper": (
        {**{"class/" + k: v for k, v in {**PROJECT, **BOB}.items()}, "notes.txt": "x",
         "class/list.csv": "x", "class/.vscode/a.json": "x"}, ["alice", "bob"],
        ["class/.vscode", "class/list.csv", "notes.txt"]),
    "backslashes": (
        {"class\\alice\\tests\\test_a.py": TEST, "class\\bob\\test_b.py": TEST},
        ["alice", "bob"], []),
    "helpers beside a script": (
        {"main.py": P, "lib/helper.py": P}, ["project"], []),
    "a src folder": ({"alice/src/main.py": P, "alice/README.md": "x"}, ["alice"], []),
    "a package with tests in it": (
        {"class/proj/README.md": "x", "class/proj/pkg/__init__.py": "",
         "class/proj/pkg/tests/test_a.py": TEST}, ["proj"], []),
    "a package and nothing else": (
        {"alice/pkg/__init__.py": "", "alice/pkg/test_a.py": TEST}, ["alice"], []),
    "a course platform's folders": (
        {"list.csv": "x", "Al_1_file/": "", "Al_1_file/hw/": "", "Al_1_file/hw/main.py": P,
         "Al_1_file/hw/tests/test_a.py": TEST, "Bo_2_file/hw/test_b.py": TEST,
         "Bo_2_file/notes.txt": "x", "Cy_3_file/report.pdf": "x"},
        ["Al_1_file", "Bo_2_file", "Cy_3_file"], ["Bo_2_file/notes.txt", "list.csv"]),
    "a project that is a package": (
        {"alice/__init__.py": "", "alice/tests/test_a.py": TEST}, ["alice"], []),
    "requirements only at the top": (
        {"requirements.txt": "six\n", "app/tests/test_a.py": TEST, "app/main.py": P},
        ["project"], []),
    "no tests": ({"alice/main.py": P, "bob/main.py": P}, ["alice", "bob"], []),
    "nothing of Python": ({"alice/report.pdf": "x", "bob/report.pdf": "x"}, ["alice", "bob"], []),
    "one file": ({"report.pdf": "x"}, ["project"], []),
    "an empty folder among projects": (
        {**PROJECT, "carol/": ""}, ["alice", "carol"], []),
    "tests in odd places": (
        {"alice/pkg/unit/test_a.py": TEST, "alice/setup.py": P, "bob/check_test.py": TEST},
        ["alice", "bob"], []),
    "git and caches": (
        {**PROJECT, "alice/.git/config": "x", "alice/__pycache__/main.cpython-311.pyc": "x",
         "alice/.pytest_cache/v/x": "x", "alice/.mypy_cache/x": "x", "alice/.tox/py/x": "x",
         "alice/web/node_modules/a/b.js": "x", "alice/cache.py": P, "alice/my_cache/x.txt": "x",
         "alice/tests/test_cache.py": TEST},
        ["alice"],
        ["alice/.git", "alice/.mypy_cache", "alice/.pytest_cache", "alice/.tox",
         "alice/__pycache__", "alice/web/node_modules"]),
    "virtual environments": (
        {**PROJECT, "alice/.venv/pyvenv.cfg": "x", "alice/.venv/lib/python3.11/os.py": P,
         "alice/my-env/pyvenv.cfg": "x", "alice/my-env/bin/python": "x",
         "alice/env/bin/activate": "x", "alice/venv/Scripts/activate.bat": "x",
         "alice/tests/env/settings.py": P},
        ["alice"], ["alice/.venv", "alice/env", "alice/my-env", "alice/venv"]),
    "a project made a virtual environment": (
        {**PROJECT, "alice/pyvenv.cfg": "x", "alice/bin/python": "x",
         "alice/lib/python3.11/site-packages/six.py": P},
        ["alice"], ["alice/bin", "alice/lib", "alice/pyvenv.cfg"]),
    "a virtual environment beside projects": (
        {**PROJECT, **BOB, "venv/pyvenv.cfg": "x", "venv/lib/x.py": P}, ["alice", "bob"],
        ["venv"]),
    "pytest.py and sitecustomize.py": (
        {**PROJECT, "alice/pytest.py": P, "alice/sitecustomize.py": P}, ["alice"], []),
    "the same names in subfolders": (
        {"alice/a/test_x.py": TEST, "alice/b/test_x.py": TEST, "alice/setup.cfg": ""},
        ["alice"], []),
    "odd project names": (
        {"my project?/test_a.py": TEST, "-rf/test_a.py": TEST, "Zoë/test_a.py": TEST},
        ["Zoë", "my project_", "rf"], []),
    "case twins": (
        {"Alice/test_a.py": TEST, "alice/test_a.py": TEST}, ["Alice", "alice-2"], []),
}


@pytest.mark.parametrize("name", SHAPES)
def test_people_zip_in_many_ways(name, call):
    files, projects, ignored = SHAPES[name]
    outcome = call(make_zip(files))
    assert outcome.code is None, outcome.text
    assert outcome.names == sorted(projects)
    assert outcome.ignored_paths == sorted(ignored)
    assert all(p["failure"] is None for p in outcome.projects)


def test_a_course_platforms_folders_are_looked_through(call, tree):
    outcome = call(make_zip(SHAPES["a course platform's folders"][0]))
    assert outcome.by_name["Al_1_file"]["folder"] == "Al_1_file/hw"
    out, _ = tree(outcome.by_name["Al_1_file"])
    assert sorted(files_below(out)) == ["main.py", "tests/test_a.py"]


def test_a_project_at_the_top_is_called_after_the_upload(call):
    assert call(make_zip({"test_a.py": TEST}), "name=../../app/x.py").names == ["_.._app_x.py"]
    assert call(make_zip({"test_a.py": TEST}), "name=home work").names == ["home work"]


def test_what_is_skipped_is_not_written_and_the_rest_is(call, tree):
    outcome = call(make_zip(SHAPES["git and caches"][0]))
    out, _ = tree(outcome.by_name["alice"])
    assert sorted(files_below(out)) == ["cache.py", "main.py", "my_cache/x.txt",
                                        "tests/test_cache.py", "tests/test_one.py"]


def test_links_in_what_is_skipped_fail_nobody(call):
    outcome = call(raw_zip([plain("alice/test_a.py"), plain("alice/.venv/pyvenv.cfg"),
                            link("alice/.venv/bin/python", "/usr/bin/python3"),
                            link("alice/venv", "/home/alice/venv")]))
    assert outcome.by_name["alice"]["failure"] is None
    assert outcome.ignored_paths == ["alice/.venv", "alice/venv"]


def test_a_nested_archive_is_a_file(call, tree):
    inner = make_zip({"bomb": "0" * 1000})
    out, _ = tree(call(make_zip({"p/test_a.py": TEST, "p/in.zip": inner})).by_name["p"])
    assert (out / "in.zip").read_bytes() == inner


def test_a_stored_archive_at_the_end_confuses_nobody(call, tree):
    inner = make_zip({"evil.py": "x"})
    data = make_zip({"p/test_a.py": TEST, "p/z.zip": inner}, zipfile.ZIP_STORED)
    out, _ = tree(call(data).by_name["p"])
    assert sorted(files_below(out)) == ["test_a.py", "z.zip"]


def test_twins_are_kept_and_remarked_on(call, tree):
    nfc, nfd = (unicodedata.normalize(form, "p/\u00e9t\u00e9.py") for form in ("NFC", "NFD"))
    outcome = call(make_zip({"p/test_a.py": TEST, "p/Readme": "1", "p/README": "2", nfc: "3",
                             nfd: "4"}))
    assert len(outcome.remarks) == 2
    out, _ = tree(outcome.by_name["p"])
    assert len(files_below(out)) == 5


def test_names_in_old_and_unflagged_encodings(call, tree):
    outcome = call(raw_zip([Entry(b"p/\x82t\x82.py", b"1", 0o100644, flags=0),
                            Entry("p/\u00fc.py", b"2", 0o100644, flags=0), plain("p/test_a.py")]))
    out, _ = tree(outcome.by_name["p"])
    assert set(files_below(out)) == {"\u00e9t\u00e9.py", "\u00fc.py", "test_a.py"}


def test_modes_become_two(call, tree):
    outcome = call(raw_zip([Entry("p/run.sh", b"x", 0o104755), Entry("p/w.py", b"x", 0o100666),
                            Entry("p/n.py", b"x"), plain("p/test_a.py")]))
    out, _ = tree(outcome.by_name["p"])
    modes = {name: stat.S_IMODE(os.stat(out / name).st_mode)
             for name in ("run.sh", "w.py", "n.py", ".")}
    assert modes == {"run.sh": 0o755, "w.py": 0o644, "n.py": 0o644, ".": 0o755}


def test_descriptors_behind_the_data_as_streams_write_them(call):
    class Stream(io.RawIOBase):
        def __init__(self):
            self.data = b""

        def writable(self):
            return True

        def write(self, data):
            self.data += bytes(data)
            return len(data)

    stream = Stream()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in PROJECT.items():
            archive.writestr(name, text)
    assert call(stream.data).names == ["alice"]


def test_zip64_of_few_entries(call):
    assert call(zip64_end(3)).names == ["p"]


def test_a_comment_is_fine_even_with_an_end_record_in_it(call):
    entries = [plain("p/test_a.py")]
    assert call(raw_zip(entries, comment=b"hello")).names == ["p"]
    assert call(raw_zip(entries, comment=b"PK\5\6 is how it ends" + bytes(30))).names == ["p"]


# --- bundles and trees ---------------------------------------------------------------------------


def test_equal_sources_give_equal_bundles(call):
    files = {"p/test_a.py": TEST, "p/b/c.py": P, "p/data.bin": bytes(range(256)) * 3000,
             "p/" + "long/" * 25 + "x.py": P}
    one = call(make_zip(files)).by_name["p"]
    back = dict(reversed(list(files.items())))
    explicit = {"p/": "", "p/b/": "", **files}
    for other in (call(make_zip(back, zipfile.ZIP_STORED)), call(make_zip(explicit)),
                  call(make_zip({"wrap/" + k: v for k, v in files.items()}))):
        project = other.by_name["p"]
        assert (project["bundle"], project["tree"]) == (one["bundle"], one["tree"])
    changed = call(make_zip({**files, "p/b/c.py": "x = 2\n"})).by_name["p"]
    assert changed["tree"] != one["tree"]


def test_two_equal_projects_share_one_bundle(call):
    outcome = call(make_zip({"alice/test_a.py": TEST, "bob/test_a.py": TEST}))
    assert outcome.by_name["alice"]["path"] == outcome.by_name["bob"]["path"]
    assert len(os.listdir(outcome.out)) == 1


def test_a_bundle_is_named_by_its_bytes_and_any_tar_can_read_it(call):
    long = "d/" * 20 + "n" * 150 + "\u00e9.py"
    data = raw_zip([plain("p/test_a.py"), plain("p/" + long), link("p/l", "x" * 140),
                    Entry("p/e/", mode=0o40755)])
    project = call(data).by_name["p"]
    packed = open(project["path"], "rb").read()
    assert hashlib.blake2b(packed, digest_size=32).hexdigest() == project["bundle"]
    assert len(packed) == project["bundle_bytes"]
    try:
        tar = subprocess.run(["zstd", "-dc", project["path"]], stdout=subprocess.PIPE,
                             check=True).stdout
    except FileNotFoundError:
        pytest.skip("no zstd program here")
    assert hashlib.blake2b(tar, digest_size=32).hexdigest() == project["tree"]
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        members = archive.getmembers()
    names = [m.name for m in members]
    assert long in names and "e" in names and "d/d" in names
    assert {(m.uid, m.gid, m.uname, m.gname, m.mtime) for m in members} == {(0, 0, "", "", MTIME)}
    assert next(m for m in members if m.name == "l").linkname == "x" * 140


def test_a_tree_has_fixed_times_and_holds_the_sources(call, tree):
    big = os.urandom(700000)
    files = {"p/test_a.py": TEST, "p/a/b/c/big.bin": big, "p/empty.py": "", "p/void/": ""}
    out, answer = tree(call(make_zip(files)).by_name["p"])
    assert answer["code"] is None
    assert files_below(out) == {"test_a.py": CONTENT, "a/b/c/big.bin": big, "empty.py": b""}
    for where, folders, names in os.walk(out):
        for name in [".", *folders, *names]:
            assert os.stat(os.path.join(where, name)).st_mtime == MTIME
    assert (out / "void").is_dir()


def test_a_tree_that_exists_is_a_success(call, tmp_path):
    project = call(GOOD).by_name["alice"]
    out = tmp_path / "cached"
    out.mkdir()
    run = subprocess.run([PROGRAM, "materialise", str(out), project["path"], project["bundle"]],
                         stdout=subprocess.PIPE)
    assert json.loads(run.stdout)["code"] is None
    assert os.listdir(out) == []


def test_an_overlay_replaces_files_links_and_folders(call, tree, tmp_path):
    project = call(raw_zip([
        plain("p/main.py", P), plain("p/tests/test_a.py", "cheat"), plain("p/src/x.py", P),
        link("p/check", "src"), plain("p/data/x", "1"), plain("p/setup.cfg", "")])).by_name["p"]
    overlay = call(make_zip({"t/tests/test_a.py": TEST, "t/check/test_b.py": TEST, "t/data": "2"}),
                   "overlay")
    assert overlay.names == ["overlay"]
    out, answer = tree(project, overlay.by_name["overlay"])
    assert answer["code"] is None, answer
    assert files_below(out) == {"main.py": P.encode(), "tests/test_a.py": CONTENT,
                                "src/x.py": P.encode(), "check/test_b.py": CONTENT,
                                "data": b"2", "setup.cfg": b""}
    assert {os.stat(os.path.join(w, n)).st_mtime for w, f, ns in os.walk(out)
            for n in [".", *f, *ns]} == {MTIME}


def test_an_overlay_of_a_tests_folder_keeps_the_folder(call, tree):
    overlay = call(make_zip({"tests/test_a.py": TEST}), "overlay").by_name["overlay"]
    assert files_below(tree(overlay)[0]) == {"tests/test_a.py": CONTENT}


def test_a_damaged_bundle_leaves_no_tree(call, tree, tmp_path):
    project = call(make_zip({"p/test_a.py": TEST, "p/b.bin": os.urandom(9000)})).by_name["p"]
    good = open(project["path"], "rb").read()
    spoiled = [good[:at] for at in range(0, len(good), 1009)] + [good + b"x", good + good]
    for at in range(0, len(good), 999):
        flipped = bytearray(good)
        flipped[at] ^= 4
        spoiled.append(bytes(flipped))
    for i, data in enumerate(spoiled):
        path = tmp_path / ("spoiled%d" % i)
        path.write_bytes(data)
        _, answer = tree({**project, "path": str(path)})
        assert answer["code"] == "corrupt", i
        # ... and under the name of its own bytes too, unless it is a whole bundle
        own = hashlib.blake2b(data, digest_size=32).hexdigest()
        _, answer = tree({"path": str(path), "bundle": own})
        assert answer["code"] == "corrupt", i
    assert tree({**project, "path": str(tmp_path / "absent")})[1]["code"] == "not-found"


def test_a_hostile_bundle_cannot_leave_its_tree(tree, tmp_path):
    """A bundle that no helper of ours wrote, under its right hash."""
    def bundle(*members):
        raw = io.BytesIO()
        with tarfile.open(fileobj=raw, mode="w", format=tarfile.USTAR_FORMAT) as archive:
            for name, kind, target in members:
                info = tarfile.TarInfo(name)
                info.type, info.linkname, info.mtime = kind, target, MTIME
                info.mode = 0o777 if kind == tarfile.SYMTYPE else 0o644
                archive.addfile(info, io.BytesIO(b""))
        # Up to the two closing blocks, each header as the writer would have put it.
        data = bytearray(raw.getvalue()[: 512 * (len(members) + 2)])
        for at in range(0, 512 * len(members), 512):
            data[at + 257 : at + 265] = b"ustar\x0000"
            data[at + 329 : at + 345] = bytes(16)
            data[at + 148 : at + 156] = b" " * 8
            data[at + 148 : at + 155] = b"%06o\0" % sum(data[at : at + 512])
        path = tmp_path / "hostile"
        packed = subprocess.run(["zstd", "-c"], input=bytes(data), stdout=subprocess.PIPE).stdout
        path.write_bytes(packed)
        return {"path": str(path), "bundle": hashlib.blake2b(packed, digest_size=32).hexdigest()}

    try:
        subprocess.run(["zstd", "--version"], stdout=subprocess.DEVNULL)
    except FileNotFoundError:
        pytest.skip("no zstd program here")
    assert tree(bundle(("ok.py", tarfile.REGTYPE, "")))[1]["code"] is None
    hostile = [
        [("../x", tarfile.REGTYPE, "")], [("/tmp/x", tarfile.REGTYPE, "")],
        [("l", tarfile.SYMTYPE, "/tmp")], [("l", tarfile.SYMTYPE, "..")],
        [("l", tarfile.SYMTYPE, "."), ("l/x", tarfile.REGTYPE, "")],
        [("a", tarfile.REGTYPE, ""), ("a", tarfile.REGTYPE, "")],
        [("a", tarfile.REGTYPE, ""), ("b", tarfile.LNKTYPE, "a")],
        [("f", tarfile.FIFOTYPE, "")], [("d/x", tarfile.REGTYPE, "")],
    ]
    for members in hostile:
        assert tree(bundle(*members))[1]["code"] == "corrupt", members


def test_a_helper_that_is_out_of_time_leaves_nothing(call, tmp_path):
    data = make_zip({"p/test_a.py": TEST, **{"p/%d.bin" % i: os.urandom(1 << 20)
                                             for i in range(40)}}, zipfile.ZIP_STORED)
    outcome = call(data, "timeout=20")
    assert outcome.code == "timeout"
