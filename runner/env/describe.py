"""Says what a Python project is, from its files alone: none of its code is run or imported.

    python -I describe.py ROOT      prints one JSON object
    describe.describe(root)         returns it

    {"name": str|null,              the distribution's own name, normalised
     "pytest": {"config_file": str|null, "section": str|null, "testpaths": [str],
                "python_files": [str], "norecursedirs": [str], "addopts": str},
     "candidates": [str],           test modules by these patterns, byte order
     "candidates_cut": bool,
     "requirements": {"source": str, "files": [str], "why": str,
                      "text": str,  lines for an installer, with `#line N "file"` marks
                      "constraints": str},
     "requires_python": str|null,
     "src_layout": bool, "editable": bool,
     "build": {"requires": str, "backend": str, "path": [str]},   how it is built (PEP 517)
     "notes": [str]}

Everything here was written by strangers. Files over 1 MiB, links that leave the project, devices and
junk are left out with a note; nothing raises. Needs Python 3.8; TOML needs 3.11 or tomli.
"""
import ast
import configparser
import fnmatch
import glob
import json
import os
import re
import shlex
import stat
import sys

try:
    import tomllib
except ImportError:
    try:
        import tomli as tomllib
    except ImportError:
        tomllib = None

FILE_MAX = 1 << 20
LINES_MAX = 10000
INCLUDE_DEPTH = 8
INCLUDE_FILES = 40
WALK_ENTRIES = 200000
WALK_DEPTH = 64
CANDIDATES_MAX = 20000
NOTES_MAX = 40
TEXT_MAX = 500

TEST_GROUPS = ("test", "tests", "testing", "dev")
TEST_FILES = tuple(
    name
    for kind in ("test", "tests", "testing", "dev")
    for name in (
        "requirements-%s.txt" % kind, "requirements_%s.txt" % kind, "requirements.%s.txt" % kind,
        "%s-requirements.txt" % kind, "%s_requirements.txt" % kind, "requirements/%s.txt" % kind,
        "requirements/requirements-%s.txt" % kind, "%s/requirements.txt" % kind,
    )
)
BASE_FILES = ("requirements.txt", "requirements/base.txt", "requirements/requirements.txt",
              "requirements/main.txt", "requirements/common.txt", "requirements/default.txt")
OTHER_LOCKS = (
    ("poetry.lock", "poetry export --with dev -o requirements-test.txt"),
    ("pdm.lock", "pdm export --dev -o requirements-test.txt"),
    ("Pipfile.lock", "pipenv requirements --dev > requirements-test.txt"),
    ("pixi.lock", "a requirements-test.txt written by hand"),
    ("environment.yml", "a requirements-test.txt written by hand"),
)
NORECURSE = ["*.egg", ".*", "_darcs", "build", "CVS", "dist", "node_modules", "venv", "{arch}"]
PYTHON_FILES = ["test_*.py", "*_test.py"]
JUNK = (OSError, ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError,
        MemoryError, SyntaxError, configparser.Error)


class Project:
    """A tree that is read within bounds, and the notes made on the way."""

    def __init__(self, root):
        self.root = os.path.realpath(root)
        self.notes = []
        self.texts = {}
        self.pyproject = self.toml("pyproject.toml") or {}
        self.setup_cfg = self.ini("setup.cfg")
        self.setup_py = read_setup_py(self)

    def note(self, text):
        text = text[:TEXT_MAX]
        if text not in self.notes and len(self.notes) < NOTES_MAX:
            self.notes.append(text)

    def resolve(self, name):
        """The real path of a file of the project, or None for one outside of it."""
        if not isinstance(name, str) or not name or "\0" in name or os.path.isabs(name):
            return None
        try:
            path = os.path.realpath(os.path.join(self.root, name))
        except JUNK:
            return None
        return path if path.startswith(self.root + os.sep) else None

    def read(self, name):
        """The text of a file, or None where there is none that can be read."""
        if name in self.texts:
            return self.texts[name]
        text = self.texts[name] = self.read_now(name)
        return text

    def read_now(self, name):
        path = self.resolve(name)
        if path is None:
            if os.path.lexists(os.path.join(self.root, name)):
                self.note("%s leads out of the project and was not read" % name)
            return None
        try:
            fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except JUNK:
            return None
        with os.fdopen(fd, "rb") as file:
            info = os.fstat(fd)
            if not stat.S_ISREG(info.st_mode):
                return None
            data = file.read(FILE_MAX + 1)
        if len(data) > FILE_MAX:
            self.note("%s is larger than 1 MiB and was not read" % name)
            return None
        text = decode(data)
        if text.count("\n") > LINES_MAX and not name.endswith(".lock"):
            self.note("%s has more than %d lines and was not read" % (name, LINES_MAX))
            return None
        return text

    def toml(self, name):
        text = self.read(name)
        if text is None:
            return None
        if tomllib is None:
            self.note("%s was not read: this Python has no TOML reader (3.11 has one)" % name)
            return None
        try:
            return tomllib.loads(text.replace("\r\n", "\n"))
        except JUNK as error:
            self.note("%s is not valid TOML: %s" % (name, error))
            return None

    def ini(self, name):
        parser = configparser.RawConfigParser(strict=False, allow_no_value=True, delimiters=("=", ":"),
                                              comment_prefixes=("#", ";"))
        parser.optionxform = str
        text = self.read(name)
        if text is None:
            return None
        try:
            parser.read_string(text)
        except JUNK as error:
            self.note("%s could not be read: %s" % (name, str(error).split("\n")[0]))
            return None
        return {section: dict(parser.items(section)) for section in parser.sections()}

    def exists(self, name):
        path = self.resolve(name)
        return path is not None and os.path.isfile(path)


def decode(data):
    """PowerShell's `pip freeze > requirements.txt` writes UTF-16."""
    for mark, encoding in ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"),
                           (b"\xfe\xff", "utf-16")):
        if data.startswith(mark):
            return data.decode(encoding, "replace")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def table(value, *keys):
    """A nested table of parsed TOML, {} where anything on the way is something else."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def strings(value):
    """The strings of a list, or the lines of a text."""
    if isinstance(value, str):
        value = value.splitlines()
    if not isinstance(value, (list, tuple)):
        return []
    return [item.strip() for item in value if isinstance(item, str) and item.strip()]


def text_or_none(value):
    return value if isinstance(value, str) and value.strip() else None


def normalise(name):
    return re.sub(r"[-_.]+", "-", name).lower()


# ---------------------------------------------------------------- pytest's configuration

def pytest_words(value):
    """What pytest calls an "args" setting: shell words in an ini file, a list in TOML."""
    if isinstance(value, str):
        try:
            return shlex.split(value, comments=False)
        except ValueError:
            return value.split()
    return strings(value)


def find_pytest_settings(project):
    """The first file that pytest would take, in its own order: (file, section, settings)."""
    for name in ("pytest.toml", ".pytest.toml"):
        settings = table(project.toml(name), "pytest") if project.exists(name) else None
        if settings is not None:
            return name, "pytest", settings
    for name in ("pytest.ini", ".pytest.ini"):
        if project.exists(name):
            return name, "pytest", (project.ini(name) or {}).get("pytest", {})
    tool = table(project.pyproject, "tool", "pytest")
    if "ini_options" in tool:
        return "pyproject.toml", "tool.pytest.ini_options", table(tool, "ini_options")
    if tool:
        return "pyproject.toml", "tool.pytest", tool
    settings = (project.ini("tox.ini") or {}).get("pytest")
    if settings is not None:
        return "tox.ini", "pytest", settings
    settings = (project.setup_cfg or {}).get("tool:pytest")
    if settings is not None:
        return "setup.cfg", "tool:pytest", settings
    return None, None, {}


def pytest_settings(project):
    name, section, settings = find_pytest_settings(project)
    addopts = settings.get("addopts")
    if not isinstance(addopts, str):
        addopts = " ".join(shlex.quote(word) for word in strings(addopts))
    return {
        "config_file": name,
        "section": section,
        "testpaths": pytest_words(settings.get("testpaths")),
        "python_files": pytest_words(settings.get("python_files")) or list(PYTHON_FILES),
        "norecursedirs": pytest_words(settings.get("norecursedirs")) or list(NORECURSE),
        "addopts": addopts[:4096],
    }


# ---------------------------------------------------------------- test candidates

def matches(pattern, path):
    """pytest's fnmatch_ex(): a pattern without a slash is about the name alone."""
    if "/" not in pattern:
        return fnmatch.fnmatchcase(path.rsplit("/", 1)[-1], pattern)
    return fnmatch.fnmatchcase("/" + path, pattern if pattern.startswith("/") else "*/" + pattern)


def start_points(project, settings):
    """Folders and files below the root where pytest would begin."""
    found = []
    for pattern in settings["testpaths"][:100]:
        if os.path.isabs(pattern) or ".." in pattern.split("/") or pattern.count("**") > 2:
            project.note("testpaths: %s was left out" % pattern)
            continue
        try:
            hits = sorted(glob.glob(os.path.join(glob.escape(project.root), pattern), recursive=True))
        except JUNK:
            hits = []
        found += [os.path.relpath(hit, project.root) for hit in hits[:1000]]
    return found or ["."]


def ignored_paths(settings):
    """--ignore in addopts; a project's conftest may ignore more, which only pytest knows."""
    words = pytest_words(settings["addopts"])
    found = [word.split("=", 1)[1] for word in words if word.startswith("--ignore=")]
    found += [after for word, after in zip(words, words[1:]) if word == "--ignore"]
    return {os.path.normpath(path) for path in found}


def is_virtualenv(path):
    return os.path.lexists(os.path.join(path, "pyvenv.cfg")) or \
        os.path.lexists(os.path.join(path, "conda-meta", "history"))


def walk(project, start, settings, ignored, budget):
    """Yields the .py files below a start that the patterns name."""
    top = project.resolve(start) if start != "." else project.root
    if top is None:
        return
    if os.path.isfile(top):
        if start.endswith(".py"):
            yield os.path.normpath(start)
        return
    top = os.path.join(project.root, os.path.normpath(start))
    for folder, folders, files in os.walk(top):
        budget[0] -= 1 + len(folders) + len(files)
        if budget[0] < 0:
            return
        here = os.path.normpath(os.path.relpath(folder, project.root))
        here = "" if here == "." else here + "/"
        folders[:] = [] if here.count("/") >= WALK_DEPTH else sorted(
            name for name in folders
            if name != "__pycache__" and here + name not in ignored
            and not any(matches(pattern, here + name) for pattern in settings["norecursedirs"])
            and not is_virtualenv(os.path.join(folder, name)))
        for name in files:
            path = here + name
            if name.endswith(".py") and path not in ignored and \
                    any(matches(pattern, path) for pattern in settings["python_files"]):
                yield path


def find_candidates(project, settings):
    found, cut, budget = set(), False, [WALK_ENTRIES]
    ignored = ignored_paths(settings)
    for start in start_points(project, settings):
        for path in walk(project, start, settings, ignored, budget):
            if not is_utf8(path):
                project.note("a file whose name is not UTF-8 was left out: %r" % path)
            elif len(found) >= CANDIDATES_MAX:
                cut = True
            else:
                found.add(path)
    return sorted(found, key=os.fsencode), cut or budget[0] < 0


def is_utf8(text):
    try:
        text.encode("utf-8")
    except UnicodeError:
        return False
    return True


# ---------------------------------------------------------------- setup.py, never run

def literal(node, names, depth=0):
    """The value of an expression made of constants, of names bound to such, of + and of calls
    that change nothing here; raises ValueError for any other."""
    if depth > 20:
        raise ValueError("too deep")
    if isinstance(node, ast.Name):
        if node.id not in names:
            raise ValueError(node.id)
        others = {key: value for key, value in names.items() if key != node.id}
        return literal(names[node.id], others, depth + 1)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return literal(node.left, names, depth + 1) + literal(node.right, names, depth + 1)
    if isinstance(node, (ast.List, ast.Tuple, ast.Set)):
        return [literal(item, names, depth + 1) for item in node.elts]
    if isinstance(node, ast.Dict):
        return {literal(key, names, depth + 1): literal(value, names, depth + 1)
                for key, value in zip(node.keys, node.values) if key is not None}
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and \
            node.func.id in ("list", "tuple", "sorted", "dict", "set"):
        if node.func.id == "dict" and not node.args:
            return {word.arg: literal(word.value, names, depth + 1)
                    for word in node.keywords if word.arg}
        return literal(node.args[0], names, depth + 1)
    return ast.literal_eval(node)


def read_setup_py(project):
    """The keywords of setup(…) that can be known without running it."""
    text = project.read("setup.py")
    if text is None:
        return None
    try:
        tree = ast.parse(text)
    except JUNK as error:
        project.note("setup.py could not be read: %s" % error)
        return {}
    names = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and \
                isinstance(node.targets[0], ast.Name):
            names[node.targets[0].id] = node.value
    found = {}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if called != "setup":
            continue
        for word in node.keywords:
            take_keyword(project, word, names, found)
    return found


SETUP_WORDS = ("name", "install_requires", "tests_require", "extras_require", "python_requires",
               "package_dir")


def take_keyword(project, word, names, found):
    if word.arg is None:  # setup(**settings)
        try:
            more = literal(word.value, names)
        except JUNK:
            return
        if isinstance(more, dict):
            found.update((key, value) for key, value in more.items() if key in SETUP_WORDS)
    elif word.arg in SETUP_WORDS:
        try:
            found[word.arg] = literal(word.value, names)
        except JUNK:
            if word.arg.endswith(("require", "requires")):
                project.note("setup.py computes %s, which is not run here; a requirements-test.txt "
                             "would say it" % word.arg)


# ---------------------------------------------------------------- lines for an installer

class Lines:
    """Requirement lines and where each is from."""

    def __init__(self, project):
        self.project = project
        self.parts = []
        self.files = []
        self.constraints = []
        self.seen = set()
        self.size = 0

    def mark(self, number, name):
        return '#line %d "%s"' % (number, name.replace('"', "'").replace("\n", " "))

    def put(self, lines, name, number=1):
        self.size += sum(len(line) + 1 for line in lines)
        if self.size > FILE_MAX:
            self.project.note("the requirements are larger than 1 MiB; the rest was left out")
            return
        self.parts.append(self.mark(number, name))
        self.parts += [line.replace("\r", "") for line in lines]

    def put_list(self, items, name):
        """Requirements from a table; one with a line end in it would be two."""
        if name not in self.files:
            self.files.append(name)
        self.put([" ".join(item.split("\n")) for item in items], name)

    def put_file(self, name, depth=0, into_constraints=False):
        """A requirements file; -r and -c are followed inside the project, `-e .` becomes the
        project's own dependencies."""
        name = os.path.normpath(name)
        if (name, into_constraints) in self.seen:
            return
        if depth >= INCLUDE_DEPTH or len(self.seen) >= INCLUDE_FILES:
            self.project.note("%s was left out: too many files include one another" % name)
            return
        text = self.project.read(name)
        if text is None:
            self.project.note("%s is asked for and cannot be read" % name)
            return
        self.seen.add((name, into_constraints))
        self.files.append(name)
        held, first = [], 1
        for number, line in enumerate(text.splitlines(), 1):
            self_extras = project_itself(line)
            include = re.match(r"\s*(-r|--requirement|-c|--constraint)(?:\s*=\s*|\s+|(?<=-[rc]))"
                               r"(\S+)\s*(#.*)?$", line)
            target = self.inside(name, include.group(2)) if include else None
            if target is None and self_extras is None:
                held.append(line)  # an include that leaves the project is refused later, by name
                continue
            self.flush(held, name, first, into_constraints)
            held, first = [], number + 1
            if self_extras is not None:
                if not into_constraints:
                    self.put_project(self_extras, name, number)
            elif include.group(1) in ("-c", "--constraint"):
                self.put_file(target, depth + 1, True)
            else:
                self.put_file(target, depth + 1, into_constraints)
        self.flush(held, name, first, into_constraints)

    def flush(self, held, name, first, into_constraints):
        if not held:
            return
        if into_constraints:
            self.size += sum(len(line) + 1 for line in held)
            if self.size <= FILE_MAX:
                self.constraints += [self.mark(first, name)] + held
        else:
            self.put(held, name, first)

    def inside(self, name, target):
        target = os.path.join(os.path.dirname(name), target.strip("\"'"))
        if "://" in target or self.project.resolve(target) is None:
            return None
        return target

    def put_project(self, extras, name, number):
        self.project.note("%s line %d installs the project itself: its dependencies are installed, "
                          "and its root is on the path" % (name, number))
        own = own_dependencies(self.project)
        self.put_list(own.base, own.source)
        for extra in extras:
            self.put_list(own.expand(extra), "%s extra %s" % (own.source, extra))

    def text(self):
        return "\n".join(self.parts) + "\n" if self.parts else ""


def project_itself(line):
    """The extras of `-e .[a,b]` or `.`, None for any other line."""
    found = re.match(r"\s*(?:(?:-e|--editable)(?:\s+|=|(?<=-e)))?[\"']?(?:\./?|file:\.)(?:\[([\w\s,.-]*)\])?"
                     r"[\"']?\s*(?:#.*)?$", line)
    if not found:
        return None
    return [part.strip() for part in (found.group(1) or "").split(",") if part.strip()]


# ---------------------------------------------------------------- what the project says itself

class Own:
    """A project's own dependencies, its extras and dependency groups."""

    def __init__(self, source, name, base, extras, python):
        self.source = source
        self.name = normalise(name) if isinstance(name, str) else None
        self.base = base
        self.extras = {normalise(key): value for key, value in extras.items()}
        self.python = python

    def expand(self, extra, depth=0):
        """An extra's requirements; `name[other]` of the project itself is that other extra."""
        found = []
        for line in self.extras.get(normalise(extra), []):
            own = re.match(r"([\w.-]+)\s*\[([^\]]*)\]", line)
            if own and normalise(own.group(1)) == self.name and depth < INCLUDE_DEPTH:
                for other in own.group(2).split(","):
                    found += self.expand(other.strip(), depth + 1)
            else:
                found.append(line)
        return found[:LINES_MAX]


def extras_of(value):
    return {key: strings(item) for key, item in value.items() if isinstance(key, str)} \
        if isinstance(value, dict) else {}


def dynamic_list(project, value):
    """[tool.setuptools.dynamic] dependencies = {file = "requirements.txt"}"""
    names = value.get("file") if isinstance(value, dict) else None
    found = []
    for name in strings([names] if isinstance(names, str) else names)[:INCLUDE_FILES]:
        found += [line for line in strings(project.read(name)) if not line.startswith(("#", "-"))]
    return found


def own_dependencies(project):
    meta = table(project.pyproject, "project")
    if meta:
        return own_from_pyproject(project, meta)
    config = project.setup_cfg or {}
    if "options" in config or "options.extras_require" in config:
        options = config.get("options", {})
        extras = extras_of(config.get("options.extras_require"))
        if options.get("tests_require"):
            extras.setdefault("test", strings(options["tests_require"]))
        base = strings(options.get("install_requires"))
        keywords = project.setup_py or {}
        return Own("setup.cfg", config.get("metadata", {}).get("name"),
                   base or strings(keywords.get("install_requires")),
                   extras or extras_of(keywords.get("extras_require")),
                   text_or_none(options.get("python_requires") or keywords.get("python_requires")))
    if project.setup_py is not None:
        keywords = project.setup_py
        extras = extras_of(keywords.get("extras_require"))
        if strings(keywords.get("tests_require")):
            extras.setdefault("test", strings(keywords["tests_require"]))
        return Own("setup.py", keywords.get("name"), strings(keywords.get("install_requires")), extras,
                   text_or_none(keywords.get("python_requires")))
    return Own(None, None, [], {}, None)


def own_from_pyproject(project, meta):
    dynamic = strings(meta.get("dynamic"))
    moving = table(project.pyproject, "tool", "setuptools", "dynamic")
    base, extras = strings(meta.get("dependencies")), extras_of(meta.get("optional-dependencies"))
    if "dependencies" in dynamic:
        base = dynamic_list(project, moving.get("dependencies")) or \
            strings((project.setup_py or {}).get("install_requires"))
        if not base:
            project.note("pyproject.toml says that its dependencies are computed; that is not run here")
    if "optional-dependencies" in dynamic:
        for key, value in table(moving, "optional-dependencies").items():
            extras[key] = dynamic_list(project, value)
    return Own("pyproject.toml", meta.get("name"), base, extras, text_or_none(meta.get("requires-python")))


def expand_group(project, groups, name, depth=0):
    """A dependency group (PEP 735), with the groups it includes."""
    found = []
    value = groups.get(normalise(name))
    for item in value if isinstance(value, list) else []:
        if isinstance(item, str):
            found.append(item)
        elif isinstance(item, dict) and isinstance(item.get("include-group"), str):
            if depth < INCLUDE_DEPTH:
                found += expand_group(project, groups, item["include-group"], depth + 1)
    return found[:LINES_MAX]


def put_own(project, lines):
    """The project's dependencies and its first set of test requirements. Returns what was used."""
    own = own_dependencies(project)
    used = []
    if own.base:
        lines.put_list(own.base, own.source)
        used.append("%s dependencies" % own.source)
    groups = {normalise(key): value for key, value in
              table(project.pyproject, "dependency-groups").items() if isinstance(key, str)}
    legacy = strings(table(project.pyproject, "tool", "uv").get("dev-dependencies"))
    if legacy:
        groups.setdefault("dev", legacy)
    for name in TEST_GROUPS:
        found = expand_group(project, groups, name)
        if found:
            lines.put_list(found, "pyproject.toml [dependency-groups] %s" % name)
            return used + ["[dependency-groups] %s" % name]
    for name in TEST_GROUPS:
        found = own.expand(name)
        if found:
            lines.put_list(found, "%s extra %s" % (own.source, name))
            return used + ["extra %s" % name]
    return used + put_tox(project, lines)


def put_tox(project, lines):
    """Older projects name what their tests need in tox.ini only."""
    deps = (project.ini("tox.ini") or {}).get("testenv", {}).get("deps")
    plain = [line for line in strings(deps)
             if "{" not in line and not re.match(r"[\w.,!-]+:\s", line) and not line.startswith("#")]
    files = [re.match(r"-r\s*(\S+)$", line) for line in plain]
    for found in files:
        if found and lines.inside("tox.ini", found.group(1)):
            lines.put_file(found.group(1))
    plain = [line for line in plain if not line.startswith("-")]
    if plain:
        lines.put_list(plain, "tox.ini [testenv] deps")
    return ["tox.ini [testenv] deps"] if plain or any(files) else []


# ---------------------------------------------------------------- the rules, first match wins

def from_testmesh_ini(project, lines):
    settings = (project.ini("testmesh.ini") or {}).get("testmesh", {})
    files, items = strings((settings.get("requirements") or "").replace(",", "\n").replace(" ", "\n")), \
        strings(settings.get("dependencies"))
    if "requirements" not in settings and "dependencies" not in settings:
        return None
    for name in files[:INCLUDE_FILES]:
        lines.put_file(name)
    if items:
        lines.put_list(items, "testmesh.ini")
    return "testmesh.ini", "testmesh.ini names them"


def from_uv_lock(project, lines):
    """The project's own lists decide what is installed, the lock which versions."""
    lock = project.toml("uv.lock") if project.exists("uv.lock") else None
    if lock is None or not table(project.pyproject, "project") and \
            "dependency-groups" not in project.pyproject:
        return None
    pins = []
    for package in lock.get("package", []) if isinstance(lock.get("package"), list) else []:
        name, version = package.get("name"), package.get("version")
        if not isinstance(name, str) or not isinstance(version, str) or \
                not ("registry" in table(package, "source")):
            continue
        markers = strings(package.get("resolution-markers"))
        pins.append("%s==%s%s" % (name, version, " ; " + " or ".join("(%s)" % m for m in markers)
                                  if markers else ""))
    used = put_own(project, lines)
    lines.constraints += ['#line 1 "uv.lock"'] + [" ".join(pin.split("\n")) for pin in pins[:2000]]
    lines.files.append("uv.lock")
    return "uv.lock", "uv.lock pins the versions of %s" % (", ".join(used) or "nothing")


def from_pylock(project, lines):
    lock = project.toml("pylock.toml") if project.exists("pylock.toml") else None
    if lock is None:
        return None
    items = []
    for package in lock.get("packages", []) if isinstance(lock.get("packages"), list) else []:
        name, version = package.get("name"), package.get("version")
        if not isinstance(name, str) or "directory" in package:
            continue
        marker = package.get("marker") if isinstance(package.get("marker"), str) else ""
        if "dependency_groups" in marker or "extras" in marker:
            if not re.search(r"['\"](test|tests|testing|dev)['\"]", marker):
                continue
            marker = ""
        source = table(package, "vcs").get("url") or table(package, "archive").get("url")
        what = " @ %s" % source if isinstance(source, str) else \
            "==%s" % version if isinstance(version, str) else ""
        items.append("%s%s%s" % (name, what, " ; " + marker if marker else ""))
    lines.put_list(items, "pylock.toml")
    return "pylock.toml", "pylock.toml lists every version"


def from_requirements_files(project, lines):
    tests = next((name for name in TEST_FILES if project.exists(name)), None)
    base = next((name for name in BASE_FILES if project.exists(name)), None)
    if tests is None and base is None:
        return None
    if base:
        lines.put_file(base)
    if tests:
        lines.put_file(tests)
    if base:
        return tests and "%s, %s" % (base, tests) or base, \
            "%s in the project" % (" and ".join(filter(None, (base, tests))))
    own = own_dependencies(project)
    if own.base:
        lines.put_list(own.base, own.source)
        return "%s, %s" % (tests, own.source), \
            "%s, with the project's own dependencies from %s" % (tests, own.source)
    return tests, "%s in the project" % tests


def from_own(project, lines):
    used = put_own(project, lines)
    if not used:
        return None
    source = own_dependencies(project).source
    return " + ".join(used), "%s: %s" % (source, " and ".join(used)) if source else used[0]


RULES = (from_testmesh_ini, from_uv_lock, from_pylock, from_requirements_files, from_own)


def find_requirements(project):
    for rule in RULES:
        lines = Lines(project)
        try:
            found = rule(project, lines)
        except JUNK as error:
            project.note("%s: %s" % (rule.__name__.replace("_", " "), error))
            continue
        if found:
            return {"source": found[0], "why": found[1], "files": lines.files, "text": lines.text(),
                    "constraints": "\n".join(lines.constraints) + "\n" if lines.constraints else ""}
    for name, how in OTHER_LOCKS:
        if project.exists(name):
            project.note("%s is another tool's: its contents are not installed; export it with: %s"
                         % (name, how))
    return {"source": "none", "why": "no file says what is needed: the base environment is used",
            "files": [], "text": "", "constraints": ""}


# ---------------------------------------------------------------- the whole

def has_src_layout(project):
    src = os.path.join(project.root, "src")
    if not os.path.isdir(src) or os.path.lexists(os.path.join(src, "__init__.py")):
        return False
    try:
        with os.scandir(src) as entries:
            for _, entry in zip(range(1000), entries):
                if entry.name.endswith(".py") or entry.is_dir() and not entry.name.endswith("-info"):
                    return True
    except OSError:
        pass
    return False


def clean(value):
    """Only what UTF-8 and a strict JSON reader can hold."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8").replace("\0", "\ufffd")
    if isinstance(value, list):
        return [clean(item) for item in value]
    if isinstance(value, dict):
        return {clean(key): clean(item) for key, item in value.items()}
    return value


def find_build(project):
    """The [build-system] table with PEP 517's defaults, where a table that is no good is none."""
    system = table(project.pyproject, "build-system")
    backend = system.get("build-backend")
    if not isinstance(backend, str) or not re.fullmatch(r"[\w.]+(:[\w.]+)?", backend):
        backend = "setuptools.build_meta:__legacy__"
    requires = strings(system.get("requires")) or ["setuptools>=64"]
    path = [part for part in strings(system.get("backend-path"))
            if not os.path.isabs(part) and ".." not in part.split("/")]
    lines = [line for line in requires if "\n" not in line and "\r" not in line]
    return {"requires": "".join(line + "\n" for line in lines), "backend": backend, "path": path[:8]}


def describe(root):
    project = Project(root)
    testmesh = (project.ini("testmesh.ini") or {}).get("testmesh", {})
    settings = pytest_settings(project)
    candidates, cut = find_candidates(project, settings)
    requirements = find_requirements(project)
    own = own_dependencies(project)
    return clean({
        "name": own.name,
        "pytest": settings,
        "candidates": candidates,
        "candidates_cut": cut,
        "requirements": requirements,
        "requires_python": text_or_none(testmesh.get("python")) or own.python,
        "src_layout": has_src_layout(project),
        "editable": (testmesh.get("install") or "").strip() == "editable",
        "build": find_build(project),
        "notes": project.notes,
    })


def main(args):
    if len(args) != 1 or not os.path.isdir(args[0]):
        sys.stderr.write("usage: describe.py ROOT\n")
        return 2
    json.dump(describe(args[0]), sys.stdout)
    sys.stdout.write("\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
