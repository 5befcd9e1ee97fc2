/* What never belongs to a project: other tools' data, virtual environments, caches. */
#include "runner/intake/layout_internal.h"

#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    const char *why;
} by_name[] = {
    {"__MACOSX", "macOS metadata"},
    {".git", "version control"},
    {".hg", "version control"},
    {".svn", "version control"},
    {"__pycache__", "cache"},
    {".pytest_cache", "cache"},
    {".mypy_cache", "cache"},
    {".ruff_cache", "cache"},
    {".tox", "virtual environments"},
    {".nox", "virtual environments"},
    {"node_modules", "installed packages"},
};

static const char virtual_environment[] = "virtual environment";

/* What venv and virtualenv put into the folder that they are given, be it a project's own. */
static const char *const venv_parts[] = {"bin",     "include", "lib", "lib64",     "share",
                                         "Scripts", "Include", "Lib", "pyvenv.cfg"};

static bool is_one_of(const char *base, size_t len, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strlen(names[i]) == len && memcmp(names[i], base, len) == 0)
            return true;
    return false;
}

static bool has_venv_name(const char *base, size_t len)
{
    static const char *const names[] = {".venv", "venv", "env", ".env"};
    return is_one_of(base, len, names, sizeof names / sizeof names[0]);
}

static bool has(const struct archive *archive, const struct layout_folder *folder, const char *file)
{
    char path[2 * ARCHIVE_PATH_MAX];
    snprintf(path, sizeof path, "%.*s%s%s", (int)folder->len, folder->path, folder->len ? "/" : "",
             file);
    return archive_find(archive, path) != NULL;
}

static const char *why_folder(const struct archive *archive, const struct layout_folder *folder)
{
    const char *base;
    size_t len = layout_base(folder, &base);
    for (size_t i = 0; i < sizeof by_name / sizeof by_name[0]; i++)
        if (strlen(by_name[i].name) == len && memcmp(by_name[i].name, base, len) == 0)
            return by_name[i].why;
    bool link = !layout_is_folder(archive, folder);
    if (has_venv_name(base, len) &&
        (link || has(archive, folder, "pyvenv.cfg") || has(archive, folder, "bin/activate") ||
         has(archive, folder, "Scripts/activate") || has(archive, folder, "Scripts/activate.bat")))
        return virtual_environment;
    if (!link && has(archive, folder, "pyvenv.cfg") && !layout_has_python(archive, folder))
        return virtual_environment;
    return NULL;
}

static const char *why_file(const struct layout_folder *file)
{
    static const char *const names[] = {".DS_Store", "Thumbs.db", "desktop.ini"};
    const char *base;
    size_t len = layout_base(file, &base);
    if (is_one_of(base, len, names, sizeof names / sizeof names[0]))
        return "desktop metadata";
    if (len > 2 && base[0] == '.' && base[1] == '_')
        return "macOS metadata";
    if (is_one_of(base, len, (const char *const[]){".git"}, 1))
        return "version control";
    return NULL;
}

static void skip(struct archive *archive, const struct layout_folder *what,
                 struct layout_notes *ignored, const char *why)
{
    for (size_t i = what->begin; i < what->end; i++)
        archive->entries[i].skipped = true;
    layout_note_add(ignored, what->path, what->len, why);
}

/* A project that was itself made a virtual environment (`python -m venv .`) keeps its own files. */
static void skip_venv_parts(struct archive *archive, const struct layout_folder *folder,
                            struct layout_notes *ignored)
{
    struct layout_folder child;
    for (size_t at = folder->begin; layout_next(archive, folder, &at, &child);) {
        const char *base;
        size_t len = layout_base(&child, &base);
        if (is_one_of(base, len, venv_parts, sizeof venv_parts / sizeof venv_parts[0]))
            skip(archive, &child, ignored, virtual_environment);
    }
}

static void skip_in(struct archive *archive, const struct layout_folder *folder,
                    struct layout_notes *ignored)
{
    if (has(archive, folder, "pyvenv.cfg"))
        skip_venv_parts(archive, folder, ignored);
    struct layout_folder child;
    for (size_t at = folder->begin; layout_next(archive, folder, &at, &child);) {
        bool is_folder = layout_is_folder(archive, &child);
        bool is_link = archive->entries[child.begin].kind == ARCHIVE_LINK;
        const char *why = is_folder || is_link ? why_folder(archive, &child) : NULL;
        if (!why && !is_folder)
            why = why_file(&child);
        if (why)
            skip(archive, &child, ignored, why);
        else if (is_folder)
            skip_in(archive, &child, ignored); /* as deep as the walk let paths be */
    }
}

void layout_skip(struct archive *archive, struct layout_notes *ignored)
{
    struct layout_folder top = layout_top(archive);
    skip_in(archive, &top, ignored);
}
