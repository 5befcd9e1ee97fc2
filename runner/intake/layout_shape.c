/* What a folder of the archive is to a person: a project, a wrapper, or a shelf of projects. */
#include "runner/intake/layout_internal.h"

#include <string.h>

struct layout_folder layout_top(const struct archive *archive)
{
    return (struct layout_folder){.path = "", .end = archive->count};
}

bool layout_next(const struct archive *archive, const struct layout_folder *folder, size_t *at,
                 struct layout_folder *child)
{
    for (; *at < folder->end; (*at)++) {
        const struct archive_entry *entry = &archive->entries[*at];
        if (entry->skipped || entry->path_len <= folder->len)
            continue;
        size_t start = folder->len + (folder->len > 0);
        const char *slash = strchr(entry->path + start, '/');
        size_t len = slash ? (size_t)(slash - entry->path) : entry->path_len;
        *child = (struct layout_folder){entry->path, len, *at,
                                        archive_folder_end(archive, *at, entry->path, len)};
        *at = child->end;
        return true;
    }
    return false;
}

bool layout_is_folder(const struct archive *archive, const struct layout_folder *child)
{
    const struct archive_entry *entry = &archive->entries[child->begin];
    return entry->path_len > child->len || entry->kind == ARCHIVE_FOLDER;
}

size_t layout_base(const struct layout_folder *child, const char **base)
{
    const char *slash = child->len ? memrchr(child->path, '/', child->len) : NULL;
    *base = slash ? slash + 1 : child->path;
    return child->len - (size_t)(*base - child->path);
}

static bool is_called(const char *base, size_t len, const char *name)
{
    return strlen(name) == len && memcmp(base, name, len) == 0;
}

static bool begins(const char *base, size_t len, const char *with)
{
    return len >= strlen(with) && memcmp(base, with, strlen(with)) == 0;
}

static bool ends(const char *base, size_t len, const char *with)
{
    size_t with_len = strlen(with);
    return len >= with_len && memcmp(base + len - with_len, with, with_len) == 0;
}

bool layout_is_part(const struct layout_folder *child)
{
    const char *base;
    size_t len = layout_base(child, &base);
    return is_called(base, len, "tests") || is_called(base, len, "test") ||
           is_called(base, len, "src");
}

static bool is_configuration(const char *base, size_t len)
{
    static const char *const names[] = {
        "pyproject.toml", "setup.py", "setup.cfg",   "tox.ini",     "pytest.ini",   ".pytest.ini",
        "Pipfile",        "uv.lock",  "pylock.toml", "poetry.lock", "testmesh.ini", "noxfile.py"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (is_called(base, len, names[i]))
            return true;
    return begins(base, len, "requirements") && ends(base, len, ".txt");
}

static bool is_test(const char *base, size_t len)
{
    return ends(base, len, ".py") &&
           (begins(base, len, "test_") || ends(base, len, "_test.py") ||
            is_called(base, len, "tests.py") || is_called(base, len, "conftest.py"));
}

static bool python_below(const struct archive *archive, const struct layout_folder *folder)
{
    for (size_t i = folder->begin; i < folder->end; i++) {
        const struct archive_entry *entry = &archive->entries[i];
        if (!entry->skipped && entry->kind != ARCHIVE_FOLDER &&
            ends(entry->path, entry->path_len, ".py"))
            return true;
    }
    return false;
}

/* What is directly in a folder. */
struct facts {
    bool sure;    /* configuration, requirements, tests: nothing else than a project has them */
    bool python;  /* any Python file */
    bool package; /* __init__.py: a part of what is above it */
    size_t files;
    size_t folders; /* hidden ones not counted */
    struct layout_folder only;
};

static struct facts look(const struct archive *archive, const struct layout_folder *folder)
{
    struct facts facts = {0};
    struct layout_folder child;
    for (size_t at = folder->begin; layout_next(archive, folder, &at, &child);) {
        const char *base;
        size_t len = layout_base(&child, &base);
        if (layout_is_folder(archive, &child)) {
            facts.folders += base[0] != '.';
            facts.only = base[0] != '.' ? child : facts.only;
            facts.sure |= layout_is_part(&child) && python_below(archive, &child);
            continue;
        }
        facts.files++;
        facts.sure |= is_configuration(base, len) || is_test(base, len);
        facts.python |= ends(base, len, ".py");
        facts.package |= is_called(base, len, "__init__.py");
    }
    return facts;
}

bool layout_has_python(const struct archive *archive, const struct layout_folder *folder)
{
    struct facts facts = look(archive, folder);
    return facts.sure || facts.python;
}

/* Counts the folders that are projects without a doubt, up to two. */
static unsigned sure_children(const struct archive *archive, const struct layout_folder *folder)
{
    unsigned count = 0;
    struct layout_folder child;
    for (size_t at = folder->begin; count < 2 && layout_next(archive, folder, &at, &child);)
        count += layout_is_folder(archive, &child) && look(archive, &child).sure;
    return count;
}

/* A folder such as proj/{README.md, docs/, pkg/__init__.py}: its one folder with Python is a
 * package, imported by its name, so the folder itself is what was written as a project. */
static bool holds_one_package(const struct archive *archive, const struct layout_folder *folder)
{
    unsigned packages = 0;
    unsigned others = 0;
    struct layout_folder child;
    for (size_t at = folder->begin; layout_next(archive, folder, &at, &child);) {
        if (!layout_is_folder(archive, &child) || !python_below(archive, &child))
            continue;
        bool package = look(archive, &child).package;
        packages += package;
        others += !package;
    }
    return packages == 1 && others == 0;
}

enum layout_shape layout_judge(const struct archive *archive, const struct layout_folder *folder,
                               struct layout_folder *only)
{
    struct facts facts = look(archive, folder);
    if (facts.sure)
        return LAYOUT_PROJECT;
    if (facts.python && sure_children(archive, folder) < 2)
        return LAYOUT_PROJECT;
    if (facts.folders == 0)
        return LAYOUT_PROJECT;
    bool top = folder->len == 0;
    if (!top && holds_one_package(archive, folder))
        return LAYOUT_PROJECT;
    if (facts.folders > 1)
        return LAYOUT_SHELF;
    *only = facts.only;
    return LAYOUT_WRAPPER;
}
