#include "cli/skip.h"

#include "proto/base/mem.h"

#include <stddef.h>
#include <string.h>

bool skip_entry(const char *name, bool is_folder)
{
    static const char *const folders[] = {
        ".git",  ".hg",           ".svn",        ".bzr",        "__pycache__", ".tox",
        ".nox",  ".pytest_cache", ".mypy_cache", ".ruff_cache", ".hypothesis", ".ipynb_checkpoints",
        ".eggs", "node_modules",  "__MACOSX",
    };
    static const char *const files[] = {".DS_Store", "Thumbs.db", ".git"};
    const char *const *names = is_folder ? folders : files;
    size_t count = is_folder ? countof(folders) : countof(files);
    for (size_t i = 0; i < count; i++) {
        if (strcmp(name, names[i]) == 0)
            return true;
    }
    size_t len = strlen(name);
    return !is_folder && len > 4 && strcmp(name + len - 4, ".pyc") == 0;
}
