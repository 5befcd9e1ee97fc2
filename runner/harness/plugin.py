"""What pytest tells us: plugins that write records and change nothing that a suite may notice.

They are handed to pytest.main() as objects. Nothing is taken from text or from exit codes; ids are
never split, since they may contain anything.
"""
import errno
import os
import unittest

import pytest

r = None  # records.py; server.py loads these files without sys.modules and hands it over

_WHENS = {}


def setup(records):
    global r
    r = records
    _WHENS.update(setup=r.SETUP, call=r.CALL, teardown=r.TEARDOWN)


def _text_of(longrepr):
    try:
        return str(longrepr)
    except Exception as error:  # a suite's own representation may fail
        return "<no representation: %r>" % (error,)


def _explain(report):
    """message and longrepr of a report, short and long."""
    longrepr = report.longrepr
    if longrepr is None:
        return "", ""
    if isinstance(longrepr, tuple) and len(longrepr) == 3:
        reason = str(longrepr[2])
        if reason.startswith("Skipped: "):
            reason = reason[len("Skipped: "):]
        return reason, "%s:%s: %s" % longrepr
    text = _text_of(longrepr)
    crash = getattr(longrepr, "reprcrash", None)
    message = getattr(crash, "message", None)
    if not isinstance(message, str):
        lines = [line for line in text[-20000:].splitlines() if line.startswith("E ")]
        message = lines[-1][1:].strip() if lines else text.strip()[:1000].split("\n")[0]
    return message, text


def _is_full(error):
    """Whether the disk was full, by its own word or that of what it came of."""
    for _ in range(16):
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            return True
        error = getattr(error, "__cause__", None) or getattr(error, "__context__", None)
    return False


def _captured(report, stream):
    title = "Captured %s %s" % (stream, report.when)
    return "".join(text for name, text in report.sections if name == title)


class _Ids:
    """Node ids relative to the project's root: pytest's are relative to its rootdir, which is where
    a configuration file was found."""

    def __init__(self, root):
        self.root = root
        self.prefix = ""

    def configure(self, config):
        base = os.path.relpath(str(getattr(config, "rootpath", None) or config.rootdir), self.root)
        if base != "." and not base.startswith(".."):
            self.prefix = base.replace(os.sep, "/") + "/"

    def of(self, nodeid, fallback):
        return self.prefix + nodeid if nodeid else fallback


class Recorder:
    """One module's tests."""

    def __init__(self, stream, root, module):
        self.stream = stream
        self.ids = _Ids(root)
        self.module = module
        self.path = os.path.join(root, module)
        self.is_old_package = (os.path.basename(module) == "__init__.py"
                               and int(pytest.__version__.split(".")[0]) < 8)
        self.seen = []         # items as collected, in order
        self.counted = False   # collection is over, indexes stand
        self.deselected = set()
        self.deselected_count = 0
        self.indexes = {}      # nodeid -> indexes; an id may occur more than once
        self.current = {}      # nodeid -> [position in indexes, torn down]
        self.index_count = 0
        self.reported = set()
        self.full = set()      # (nodeid, when): it met a full disk
        self.raised = {}       # (nodeid, when) -> the report was made of an exception
        self.inner = {}        # nodeid -> its call raised, whatever hooks further out made of it
        self.harmless = (pytest.skip.Exception, pytest.xfail.Exception, pytest.exit.Exception,
                         unittest.SkipTest)

    # The module that was asked for, in this process: a project's addopts may name other paths, or
    # hand the tests to workers whose reports would come from elsewhere.

    @pytest.hookimpl(tryfirst=True)
    def pytest_cmdline_main(self, config):
        option = config.option
        if getattr(option, "numprocesses", None) or getattr(option, "tx", None):
            option.numprocesses, option.dist, option.tx = 0, "no", []
        if len(config.args) > 1:
            config.args = [self.module]

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self, session):
        self.ids.configure(session.config)

    # Collection

    def pytest_ignore_collect(self, collection_path):
        """Before version 8 the __init__.py of a package stands for the whole package."""
        if not self.is_old_package or collection_path.is_dir():
            return None
        return True if str(collection_path) != self.path else None

    def pytest_itemcollected(self, item):
        self.seen.append(item)

    def pytest_deselected(self, items):
        fresh = [item for item in items if id(item) not in self.deselected]
        self.deselected.update(id(item) for item in fresh)
        self.deselected_count += len(fresh)
        if self.counted:
            for item in fresh:
                for index in self.indexes.get(item.nodeid, ()):
                    self.stream.send(r.REMOVED, index)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session):
        if self.counted:
            return
        self.counted = True
        kept = list(session.items)
        known = {id(item) for item in kept}
        gone = [item for item in self.seen
                if id(item) not in known and id(item) not in self.deselected]
        self._announce([item.nodeid for item in kept + gone])
        self.stream.send(r.COUNTED, self.index_count, self.deselected_count)
        self.seen = self.seen if self.deselected else []  # ids of objects hold while those live

    def _announce(self, nodeids):
        piece, size, first = [], 0, self.index_count
        for nodeid in nodeids:
            text = r.cut(self.ids.of(nodeid, self.module), r.ID_MAX)
            length = len(text.encode("utf-8", "backslashreplace")) + 5
            if piece and size + length > r.PIECE_MAX:
                self.stream.send(r.COLLECTED, first, piece)
                piece, size, first = [], 0, self.index_count
            piece.append(text)
            size += length
            self.indexes.setdefault(nodeid, []).append(self.index_count)
            self.index_count += 1
        if piece:
            self.stream.send(r.COLLECTED, first, piece)

    def pytest_collectreport(self, report):
        if report.outcome == "passed":
            return
        message, text = _explain(report)
        outcome = r.SKIPPED if report.outcome == "skipped" else r.FAILED
        self.stream.send(r.PROBLEM,
                         r.cut(self.ids.of(report.nodeid, self.module), r.ID_MAX),
                         outcome, r.cut(message, r.MESSAGE_MAX),
                         r.cut(text, r.LONGREPR_MAX))

    # Running

    @pytest.hookimpl(hookwrapper=True, trylast=True)
    def pytest_pyfunc_call(self, pyfuncitem):
        result = yield
        self.inner[pyfuncitem.nodeid] = self._is_harmful(result.excinfo)

    @pytest.hookimpl(hookwrapper=True, trylast=True)
    def pytest_runtest_call(self, item):
        self.inner.pop(item.nodeid, None)
        result = yield
        if result.excinfo:
            self.inner[item.nodeid] = self._is_harmful(result.excinfo)

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_runtest_makereport(self, item, call):
        yield
        excinfo = call.excinfo and (call.excinfo.type, call.excinfo.value)
        self.raised[item.nodeid, call.when] = self._is_harmful(excinfo)
        if excinfo and _is_full(excinfo[1]):
            self.full.add((item.nodeid, call.when))

    def _is_harmful(self, excinfo):
        """An exception that neither skips nor xfails."""
        return bool(excinfo) and not issubclass(excinfo[0], self.harmless)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report):
        subtest = hasattr(report, "context") and type(report).__name__ in (
            "SubTestReport", "SubtestReport")
        when = r.SUBTEST if subtest else _WHENS.get(report.when, r.CALL)
        outcome, flags = self._outcome(report, when)
        if outcome is None:  # "rerun" and the like: another attempt follows
            return
        if (report.nodeid, report.when) in self.full:
            flags |= r.NO_SPACE
        index = self._index(report.nodeid, when)
        message, text = _explain(report)
        if hasattr(report, "wasxfail"):
            message = str(report.wasxfail) or message
        cut = r.cut
        self.stream.send(
            r.PHASE, index, when, outcome, max(0, int(report.duration * 1e6)),
            cut(message, r.MESSAGE_MAX), cut(text, r.LONGREPR_MAX),
            cut(_captured(report, "stdout"), r.CAPTURED_MAX),
            cut(_captured(report, "stderr"), r.CAPTURED_MAX), flags)
        self.reported.add(index)

    def _outcome(self, report, when):
        xfail = hasattr(report, "wasxfail")
        if report.outcome == "skipped":
            return (r.XFAILED if xfail else r.SKIPPED), 0
        if report.outcome == "failed":
            return r.FAILED, 0
        if report.outcome != "passed":
            return None, 0
        raised = self.raised.get((report.nodeid, report.when))
        if when == r.CALL:
            raised = raised or self.inner.get(report.nodeid)
        if when == r.SUBTEST:
            raised = False
        return r.XPASSED if xfail else r.PASSED, r.RAISED if raised else 0

    def _index(self, nodeid, when):
        indexes = self.indexes.get(nodeid)
        if indexes is None:  # made while running; a plugin's own item
            self._announce([nodeid])
            indexes = self.indexes[nodeid]
        place = self.current.setdefault(nodeid, [0, False])
        if when == r.SETUP and place[1] and place[0] + 1 < len(indexes):
            place[0] += 1
            place[1] = False
        if when == r.TEARDOWN:
            place[1] = True
        return indexes[place[0]]

    @pytest.hookimpl(tryfirst=True)
    def pytest_internalerror(self, excrepr):
        self.stream.send(r.INTERNAL, r.cut(_text_of(excrepr), r.LONGREPR_MAX))

    def finish(self, status):
        self.stream.send(r.END, int(status), self.index_count, len(self.reported),
                         self.deselected_count)


class Discoverer:
    """Which files pytest would collect from: collection goes as far as the file and imports none."""

    def __init__(self, stream, root):
        self.stream = stream
        self.ids = _Ids(root)
        self.root = root
        self.found = set()

    @pytest.hookimpl(tryfirst=True)
    def pytest_cmdline_main(self, config):
        option = config.option
        if getattr(option, "numprocesses", None) or getattr(option, "tx", None):
            option.numprocesses, option.dist, option.tx = 0, "no", []

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self, session):
        self.ids.configure(session.config)

    @pytest.hookimpl(tryfirst=True)
    def pytest_make_collect_report(self, collector):
        if not isinstance(collector, pytest.File) or isinstance(collector, pytest.Package):
            return None
        path = str(getattr(collector, "path", None) or collector.fspath)
        relative = os.path.relpath(path, self.root).replace(os.sep, "/")
        if not relative.startswith("../") and relative not in self.found:
            self.found.add(relative)
            try:
                size = os.stat(path).st_size
            except OSError:
                size = 0
            self.stream.send(r.MODULE, r.cut(relative, r.ID_MAX), size)
        return pytest.CollectReport(collector.nodeid, "passed", None, [])

    def pytest_collectreport(self, report):
        if report.outcome != "failed":
            return
        message, text = _explain(report)
        self.stream.send(r.PROBLEM, r.cut(self.ids.of(report.nodeid, "."), r.ID_MAX),
                         r.FAILED, r.cut(message, r.MESSAGE_MAX),
                         r.cut(text, r.LONGREPR_MAX))

    @pytest.hookimpl(tryfirst=True)
    def pytest_internalerror(self, excrepr):
        self.stream.send(r.INTERNAL, r.cut(_text_of(excrepr), r.LONGREPR_MAX))

    def finish(self, status):
        self.stream.send(r.END, int(status), 0, 0, 0)
