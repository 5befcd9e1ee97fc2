"""Numbered msgpack records over a SOCK_SEQPACKET, and the reader of job descriptors.

What is read and bounded again by runner/job/record.c; the kinds and bounds are those of record.h.
"""
import os
import struct

VERSION = 1
(BEGIN, COLLECTED, REMOVED, COUNTED, PHASE, PROBLEM, INTERNAL, END, MODULE, BLOB) = range(10)
SETUP, CALL, TEARDOWN, SUBTEST = range(4)
PASSED, SKIPPED, XFAILED, XPASSED, FAILED = range(5)
RAISED = 1
NO_SPACE = 2

ID_MAX = 32768
MESSAGE_MAX = 4096
LONGREPR_MAX = 16384
CAPTURED_MAX = 16384
PIECE_MAX = 60000

# Bound now: a suite may replace these names in the modules while it runs.
_write, _getpid, _pack = os.write, os.getpid, struct.pack


def pack(value):
    if value is None:
        return b"\xc0"
    if value is True or value is False:
        return b"\xc3" if value else b"\xc2"
    if isinstance(value, int):
        if 0 <= value < 128:
            return _pack("B", value)
        return _pack(">BQ", 0xCF, value) if value >= 0 else _pack(">Bq", 0xD3, value)
    if isinstance(value, str):
        value = value.encode("utf-8", "backslashreplace")
        return _pack(">BI", 0xDB, len(value)) + value
    if isinstance(value, bytes):
        return _pack(">BI", 0xC6, len(value)) + value
    return _pack(">BI", 0xDD, len(value)) + b"".join(map(pack, value))


def cut(text, limit):
    """`text` in at most `limit` bytes of UTF-8: its beginning and its end, and what is missing."""
    if "\0" in text:
        text = text.replace("\0", "\\0")
    if len(text) * 4 <= limit:
        return text
    size = len(text)
    if size > 2 * limit:
        text = text[:limit] + text[-limit:]
    data = text.encode("utf-8", "backslashreplace")
    if len(data) <= limit and size == len(text):
        return data.decode("utf-8")
    mark = "\n[... cut, %d characters in all ...]\n" % size
    keep = (limit - len(mark)) // 2
    head = data[:keep].decode("utf-8", "ignore")
    return head + mark + data[-keep:].decode("utf-8", "ignore")


class Stream:
    """Sends records, from the process that made it only: a child that a test forked and that runs
    on into pytest must say nothing."""

    def __init__(self, fd):
        self.fd = fd
        self.pid = _getpid()
        self.number = 0
        self.broken = False

    def send(self, kind, *fields):
        if self.broken or _getpid() != self.pid:
            return
        packet = pack((self.number, kind) + fields)
        self.number += 1
        try:
            _write(self.fd, packet)
        except OSError:
            self.broken = True

    def send_blob(self, data):
        for at in range(0, len(data), PIECE_MAX):
            self.send(BLOB, data[at:at + PIECE_MAX])


def unpack(data):
    """One value of what job descriptors are made of. They come from the node: no bounds."""
    value, end = _unpack(data, 0)
    if end != len(data):
        raise ValueError("trailing bytes")
    return value


def _number(data, at, form):
    size = struct.calcsize(form)
    return struct.unpack_from(form, data, at)[0], at + size


_NUMBERS = {0xCA: ">f", 0xCB: ">d", 0xCC: ">B", 0xCD: ">H", 0xCE: ">I", 0xCF: ">Q",
            0xD0: ">b", 0xD1: ">h", 0xD2: ">i", 0xD3: ">q"}
_LENGTHS = {0xC4: ">B", 0xC5: ">H", 0xC6: ">I", 0xD9: ">B", 0xDA: ">H", 0xDB: ">I",
            0xDC: ">H", 0xDD: ">I", 0xDE: ">H", 0xDF: ">I"}


def _unpack(data, at):
    first, at = data[at], at + 1
    if first < 0x80:
        return first, at
    if first >= 0xE0:
        return first - 256, at
    if first in (0xC0, 0xC2, 0xC3):
        return {0xC0: None, 0xC2: False, 0xC3: True}[first], at
    if first in _NUMBERS:
        return _number(data, at, _NUMBERS[first])
    if first in _LENGTHS:
        size, at = _number(data, at, _LENGTHS[first])
    elif first < 0xC0:
        size = first & (0x1F if first >= 0xA0 else 0x0F)
    else:
        raise ValueError("unknown byte")
    if first in (0xC4, 0xC5, 0xC6):
        return bytes(data[at:at + size]), at + size
    if 0xA0 <= first < 0xC0 or first in (0xD9, 0xDA, 0xDB):
        return bytes(data[at:at + size]).decode("utf-8", "surrogateescape"), at + size
    is_map = first < 0x90 or first in (0xDE, 0xDF)
    items = []
    for _ in range(size * 2 if is_map else size):
        item, at = _unpack(data, at)
        items.append(item)
    return (dict(zip(items[::2], items[1::2])) if is_map else items), at
