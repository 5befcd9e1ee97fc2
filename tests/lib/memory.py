"""What a process has in its memory: for tests that look for what should not be there.

Of a process that may be read: one of ours, or any for root."""

import re

PIECE = 1 << 22


def regions(pid):
    """[(first byte, byte behind the last, name)] of what may be read."""
    found = []
    with open(f"/proc/{pid}/maps", encoding="utf-8", errors="replace") as maps:
        for line in maps:
            fields = line.split(None, 5)
            begin, end = (int(text, 16) for text in fields[0].split("-"))
            name = fields[5].strip() if len(fields) > 5 else ""
            if fields[1].startswith("r") and name not in ("[vvar]", "[vsyscall]", "[vvar_vclock]"):
                found.append((begin, end, name))
    return found


def find(pid, secrets, around=24):
    """[(region's name, address, bytes around it)] of every place that holds one of `secrets`."""
    pattern = re.compile(b"|".join(re.escape(secret) for secret in secrets))
    overlap = max(map(len, secrets)) - 1
    found = []
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for begin, end, name in regions(pid):
            tail = b""
            for at in range(begin, end, PIECE):
                try:
                    memory.seek(at)
                    piece = memory.read(min(PIECE, end - at))
                except OSError:  # a guard page, or one that is gone
                    tail = b""
                    continue
                data, base = tail + piece, at - len(tail)
                found += [(name, base + hit.start(),
                           data[max(0, hit.start() - around):hit.end() + around])
                          for hit in pattern.finditer(data)]
                tail = data[-overlap:]
    return found
