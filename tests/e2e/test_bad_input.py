"""What nobody should send: the right status, a document that helps, nothing left on disk."""

import io
import socket
import struct
import warnings
import zipfile

import pytest
import zips
from node import form

SMALL = zips.of_files(zips.project("small", test_one="def test_a():\n    pass\n"))
KIND, GOOD = form([("file", "x.zip", "application/zip", SMALL)])


def zip_with(name, text=b"x"):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("p/test_a.py", "def test_a():\n    pass\n")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of duplicate names: they are meant
            archive.writestr(zipfile.ZipInfo(name), text)
    return out.getvalue()


def bomb():
    return zips.of_files({"p/test_a.py": b"\0" * (64 << 20)})


def encrypted():
    """SMALL with the encryption bit set in both headers."""
    data = bytearray(SMALL)
    for signature, flags in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        at = data.find(signature)
        while at >= 0:
            data[at + flags] |= 1
            at = data.find(signature, at + 4)
    return bytes(data)


def lying_size():
    """SMALL whose central directory says that its file is one byte."""
    data = bytearray(SMALL)
    at = data.find(b"PK\1\2")
    data[at + 24:at + 28] = struct.pack("<I", 1)
    return bytes(data)


def bad_crc():
    data = bytearray(SMALL)
    for signature, crc in ((b"PK\3\4", 14), (b"PK\1\2", 16)):
        at = data.find(signature)
        data[at + crc] ^= 0xFF
    return bytes(data)


ARCHIVES = {
    "not a zip": b"hello, this is no archive\n" * 50,
    "empty": b"",
    "truncated": SMALL[:-30],
    "half": SMALL[: len(SMALL) // 2],
    "no entries": zips.of_files({}),
    "parent": zip_with("../x.py"),
    "inner parent": zip_with("a/../../b.py"),
    "absolute": zip_with("/abs.py"),
    "backslash parent": zip_with("..\\x.py"),
    "drive": zip_with("C:\\x.py"),
    "newline": zip_with("p/a\nb.py"),
    "long name": zip_with("p/" + "n" * 300 + ".py"),
    "deep": zip_with("d/" * 200 + "x.py"),
    "duplicate": zip_with("p/test_a.py"),
    "file and folder": zip_with("p/test_a.py/x.py"),
    "two archives": SMALL + SMALL,
    "encrypted": encrypted(),
    "lying size": lying_size(),
    "bad crc": bad_crc(),
    "bomb": bomb(),
}


@pytest.fixture
def unchanged(node):
    """Checks that the test left no file in the node's folder, and the node well."""
    before = node.files()
    evaluations = node.get_json("/evaluation?limit=1000")["evaluations"]
    yield
    node.wait_until(lambda: not node.files() - before, "nothing left on disk", timeout=5)
    assert node.get_json("/evaluation?limit=1000")["evaluations"] == evaluations
    assert node.is_alive() and node.get("/healthz").status == 200


def check_problem(answer, *statuses):
    assert answer.status in statuses, answer
    assert answer.headers["content-type"].startswith("application/problem+json")
    document = answer.json()
    assert document["status"] == answer.status
    assert document["type"] == f"/problems/{document['code']}"
    for key in ("title", "detail"):
        assert isinstance(document[key], str) and document[key]
    assert document["error"] == document["detail"]
    return document


@pytest.mark.parametrize("name", sorted(ARCHIVES))
def test_bad_archive(node, unchanged, name):
    check_problem(node.post_zip(ARCHIVES[name]), 422)


@pytest.mark.parametrize("name", ["not a zip", "empty", "parent", "truncated"])
def test_bad_raw_archive(node, unchanged, name):
    check_problem(node.request("POST", "/evaluation", ARCHIVES[name],
                               {"Content-Type": "application/zip"}), 422, 400)


def test_the_refusal_says_what_to_do(node, unchanged):
    document = check_problem(node.post_zip(ARCHIVES["not a zip"]), 422)
    assert document["code"] == "archive-not-zip"
    assert document["hint"]
    page = node.get(document["type"])
    assert page.status == 200


def test_empty_body(node, unchanged):
    check_problem(node.request("POST", "/evaluation", b"", {"Content-Type": KIND}), 400, 422)


def test_no_content_type(node, unchanged):
    check_problem(node.request("POST", "/evaluation", GOOD, {}), 400, 415)


def test_wrong_content_type(node, unchanged):
    check_problem(node.request("POST", "/evaluation", GOOD, {"Content-Type": "text/plain"}), 415)


def test_wrong_field_name(node, unchanged):
    kind, body = form([("upload", "x.zip", "application/zip", SMALL)])
    document = check_problem(node.request("POST", "/evaluation", body, {"Content-Type": kind}),
                             400, 422)
    assert "file" in document["detail"] + (document.get("hint") or "")


def test_two_files(node, unchanged):
    kind, body = form([("file", "x.zip", "application/zip", SMALL)] * 2)
    check_problem(node.request("POST", "/evaluation", body, {"Content-Type": kind}), 400, 422)


def test_huge_body_is_refused_before_it_comes(node, unchanged):
    """Only the head is sent: whoever reads the length knows enough."""
    host, _, port = node.address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=10) as peer:
        peer.sendall(f"POST /evaluation HTTP/1.1\r\nHost: {node.address}\r\nContent-Type: {KIND}\r\n"
                     f"Content-Length: {1 << 40}\r\nExpect: 100-continue\r\n\r\n".encode())
        assert peer.recv(4096).split(b"\r\n")[0].split()[1] == b"413"


MALFORMED = {
    "no boundary": ("multipart/form-data", GOOD),
    "empty boundary": ("multipart/form-data; boundary=", GOOD),
    "long boundary": ("multipart/form-data; boundary=" + "b" * 256, GOOD),
    "other boundary": ("multipart/form-data; boundary=nothing-of-the-kind", GOOD),
    "no last boundary": (KIND, GOOD[: GOOD.rindex(b"\r\n--")]),
    "cut in a head": (KIND, GOOD[:60]),
    "no disposition": (KIND, GOOD.replace(b"Content-Disposition", b"Content-Nothing")),
    "no name": (KIND, GOOD.replace(b'; name="file"', b"")),
    "no part": (KIND, b"--testmesh-test-boundary-7d1f--\r\n"),
}


@pytest.mark.parametrize("name", sorted(MALFORMED))
def test_malformed_form(node, unchanged, name):
    kind, body = MALFORMED[name]
    check_problem(node.request("POST", "/evaluation", body, {"Content-Type": kind}), 400, 422)


def test_a_client_that_leaves_in_the_middle(node, unchanged):
    host, _, port = node.address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=10) as peer:
        peer.sendall(f"POST /evaluation HTTP/1.1\r\nHost: {node.address}\r\nContent-Type: {KIND}\r\n"
                     f"Content-Length: {len(GOOD)}\r\n\r\n".encode() + GOOD[: len(GOOD) // 2])


UNKNOWN = ["1", "9007199254740991", "9007199254740993", "-1", "0x10", "01", "abc", "1.5", "..%2e",
           "%2e%2e", "..%2f..%2fetc%2fpasswd", "../../etc/passwd", "..", "1/../2", "a.b",
           "99999999999999999999999999", "%00", "1%0a", "%ff"]


@pytest.mark.parametrize("id", UNKNOWN)
@pytest.mark.parametrize("rest", ["", "/tests", "/logs/p/test_a.py"])
def test_unknown_id(node, unchanged, id, rest):
    check_problem(node.get(f"/evaluation/{id}{rest}"), 400, 404)


@pytest.mark.parametrize("id", ["1", "abc", "9007199254740991"])
def test_an_unknown_number_is_404(node, unchanged, id):
    check_problem(node.get(f"/evaluation/{id}"), 404)
    check_problem(node.request("DELETE", f"/evaluation/{id}"), 404)


@pytest.mark.parametrize("path", [
    "{id}/logs/bank-failing/../../../../etc/passwd", "{id}/logs/nobody/tests/test_a.py",
    "{id}/logs/bank-failing/tests/nothing.py", "{id}/nothing"])
def test_nothing_there(node, unchanged, examples, path):
    check_problem(node.get("/evaluation/" + path.format(id=examples["id"])), 400, 404)


@pytest.mark.parametrize("query", ["limit=0", "limit=-1", "limit=x", "cursor=nonsense",
                                   "outcome=wonderful"])
def test_bad_query(node, unchanged, examples, query):
    check_problem(node.get(f"/evaluation/{examples['id']}/tests?{query}"), 400, 422)


def test_wrong_method(node, unchanged):
    answer = node.request("PUT", "/evaluation", b"")
    check_problem(answer, 405)
    assert {"GET", "POST"} <= {word.strip() for word in answer.headers["allow"].split(",")}


def test_unknown_path(node, unchanged):
    check_problem(node.get("/there/is/nothing/here"), 404)
