#include "runner/intake/layout.h"

#include "proto/base/mem.h"
#include "runner/intake/fold.h"
#include "runner/intake/layout_internal.h"

#include <stdio.h>
#include <string.h>

#define REFUSED(r, ...) err_refuse(err, ERR_UNPROCESSABLE, (r), __VA_ARGS__)

void layout_note_add(struct layout_notes *notes, const char *path, size_t len, const char *why)
{
    if (notes->count == LAYOUT_NOTES_MAX) {
        notes->more++;
        return;
    }
    notes->rows = mem_grow(notes->rows, &notes->capacity, notes->count + 1, sizeof *notes->rows);
    notes->rows[notes->count++] = (struct layout_note){mem_strndup(path, len), why};
}

void layout_project_fail(struct layout_project *project, const char *reason, char *failure_owned)
{
    if (project->failure) {
        free(failure_owned);
        return;
    }
    project->failure = failure_owned;
    project->reason = reason;
}

bool layout_link_stays(const char *path, const char *target)
{
    size_t depth = 0; /* folders between the project's root and the link */
    for (const char *at = path; (at = strchr(at, '/')) != NULL; at++)
        depth++;
    if (target[0] == '\0' || target[0] == '/')
        return false;
    bool descended = false;
    while (*target) {
        size_t len = strcspn(target, "/");
        bool up = len == 2 && target[0] == '.' && target[1] == '.';
        bool here = len == 0 || (len == 1 && target[0] == '.');
        if (up && (descended || depth-- == 0))
            return false;
        descended |= !up && !here;
        target += len + (target[len] == '/');
    }
    return true;
}

void layout_name_clean(const char *raw, char out[LAYOUT_NAME_MAX + 1])
{
    size_t len = 0;
    while (*raw == '.' || *raw == '-' || *raw == ' ')
        raw++;
    for (; *raw && len < LAYOUT_NAME_MAX; raw++) {
        unsigned char c = (unsigned char)*raw;
        bool plain = c >= 0x80 || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
                     (c >= 'A' && c <= 'Z') || strchr(" ._-+@(),=", c);
        out[len++] = plain ? *raw : '_';
    }
    if ((*raw & 0xc0) == 0x80) { /* never half a character */
        while (len > 0 && (out[len - 1] & 0xc0) == 0x80)
            len--;
        len -= len > 0;
    }
    while (len > 0 && (out[len - 1] == '.' || out[len - 1] == ' '))
        len--;
    out[len] = '\0';
    if (len == 0)
        strcpy(out, "project");
}

static bool is_taken(const struct layout *self, const char *name)
{
    char want[2 * LAYOUT_NAME_MAX];
    char have[2 * LAYOUT_NAME_MAX];
    fold_path(name, want, sizeof want);
    for (size_t i = 0; i < self->project_count; i++) {
        fold_path(self->projects[i].name, have, sizeof have);
        if (strcmp(want, have) == 0)
            return true;
    }
    return false;
}

void layout_name_number(const char *clean, unsigned number, char out[LAYOUT_NAME_MAX + 1])
{
    char tail[16];
    size_t tail_len = (size_t)snprintf(tail, sizeof tail, "-%u", number);
    size_t len = strlen(clean);
    if (len > LAYOUT_NAME_MAX - tail_len)
        len = LAYOUT_NAME_MAX - tail_len;
    while (len > 0 && (clean[len] & 0xc0) == 0x80)
        len--;
    snprintf(out, LAYOUT_NAME_MAX + 1, "%.*s%s", (int)len, clean, tail);
}

/* Returns owned: the cleaned name, with a number behind it where another project has it already. */
static char *name_for(const struct layout *self, const char *raw)
{
    char clean[LAYOUT_NAME_MAX + 1];
    layout_name_clean(raw, clean);
    char name[LAYOUT_NAME_MAX + 1];
    memcpy(name, clean, sizeof name);
    for (unsigned number = 2; is_taken(self, name); number++)
        layout_name_number(clean, number, name);
    return mem_strdup(name);
}

/* `named` is the folder that people know the project by; one at the top is called `top`. */
static void add_project(struct layout *self, const struct layout_folder *folder,
                        const struct layout_folder *named, const char *top)
{
    const char *base;
    size_t len = layout_base(named, &base);
    owned_mem char *raw = len > 0 ? mem_strndup(base, len) : mem_strdup(top ? top : "project");
    char *name = name_for(self, raw);
    if (len > 0 && strcmp(name, raw) != 0)
        layout_note_add(&self->remarks, named->path, named->len,
                        "its name was changed, so that it is plain and unique");
    self->projects = mem_grow(self->projects, &self->project_capacity, self->project_count + 1,
                              sizeof *self->projects);
    self->projects[self->project_count++] =
        (struct layout_project){.name = name,
                                .folder = mem_strndup(folder->path, folder->len),
                                .first = folder->begin,
                                .end = folder->end,
                                .strip = folder->len + (folder->len > 0)};
}

/* Skips what is in `outer` and not in `inner`, which lies within it. */
static void skip_around(struct layout *self, struct archive *archive,
                        const struct layout_folder *outer, const struct layout_folder *inner)
{
    for (size_t i = outer->begin; i < outer->end; i++) {
        struct archive_entry *entry = &archive->entries[i];
        if (entry->skipped || (i >= inner->begin && i < inner->end))
            continue;
        entry->skipped = true;
        if (entry->kind != ARCHIVE_FOLDER)
            layout_note_add(&self->ignored, entry->path, entry->path_len, "beside the project");
    }
}

/* Each folder of a shelf is a project. What course platforms hand out has one more folder within
 * each student's, which is looked through; the project keeps the student's name. */
static int add_shelf(struct layout *self, struct archive *archive,
                     const struct layout_folder *shelf, struct err *err)
{
    struct layout_folder child;
    for (size_t at = shelf->begin; layout_next(archive, shelf, &at, &child);) {
        const char *base;
        layout_base(&child, &base);
        if (!layout_is_folder(archive, &child) || base[0] == '.')
            continue;
        if (self->project_count >= LAYOUT_PROJECTS_MAX)
            return REFUSED("archive-too-many-projects", "the archive has more than %d projects",
                           LAYOUT_PROJECTS_MAX);
        struct layout_folder inner = child;
        struct layout_folder only;
        while (layout_judge(archive, &inner, &only) == LAYOUT_WRAPPER)
            inner = only;
        skip_around(self, archive, &child, &inner);
        add_project(self, &inner, &child, NULL);
    }
    return 0;
}

/* Returns how many bytes of `path` are folders on the way to `home`, `home` included. */
static size_t shared_folders(const char *path, const struct layout_folder *home)
{
    size_t shared = 0;
    for (size_t i = 1; i <= home->len && path[i - 1] == home->path[i - 1]; i++)
        if (path[i] == '/' && (i == home->len || home->path[i] == '/'))
            shared = i;
    return shared;
}

static bool is_on_the_way(const struct archive_entry *entry, const struct layout_folder *home)
{
    size_t len = entry->path_len;
    return entry->kind == ARCHIVE_FOLDER && len <= home->len &&
           memcmp(entry->path, home->path, len) == 0 &&
           (len == home->len || home->path[len] == '/');
}

/* Skips what lies beside the projects: one row for each file or folder in `home`, or in one of the
 * folders that were looked through to get there. */
static void skip_strays(struct layout *self, struct archive *archive,
                        const struct layout_folder *home)
{
    size_t project = 0;
    for (size_t i = 0; i < archive->count;) {
        const struct archive_entry *entry = &archive->entries[i];
        while (project < self->project_count && self->projects[project].end <= i)
            project++;
        if (project < self->project_count && self->projects[project].first <= i) {
            i = self->projects[project].end;
            continue;
        }
        if (entry->skipped || is_on_the_way(entry, home)) {
            i++;
            continue;
        }
        size_t start = shared_folders(entry->path, home);
        start += start > 0;
        size_t len = start + strcspn(entry->path + start, "/");
        layout_note_add(&self->ignored, entry->path, len, "beside the projects");
        for (size_t end = archive_folder_end(archive, i, entry->path, len); i < end; i++)
            archive->entries[i].skipped = true;
    }
}

/* One wrapping folder is dropped, but not one that is meant to be laid over its like. */
static void find_overlay(struct layout *self, const struct archive *archive)
{
    struct layout_folder folder = layout_top(archive);
    struct layout_folder child;
    struct layout_folder second;
    size_t at = 0;
    if (layout_next(archive, &folder, &at, &child) && layout_is_folder(archive, &child) &&
        !layout_is_part(&child) && !layout_next(archive, &folder, &at, &second))
        folder = child;
    add_project(self, &folder, &folder, NULL);
    free(self->projects[0].name);
    self->projects[0].name = mem_strdup("overlay");
}

static int find_projects(struct layout *self, struct archive *archive, const char *name,
                         struct err *err)
{
    struct layout_folder folder = layout_top(archive);
    struct layout_folder only;
    enum layout_shape shape;
    int rc;
    while ((shape = layout_judge(archive, &folder, &only)) == LAYOUT_WRAPPER)
        folder = only;
    if (shape == LAYOUT_PROJECT)
        add_project(self, &folder, &folder, name);
    else if ((rc = add_shelf(self, archive, &folder, err)))
        return rc;
    skip_strays(self, archive, &folder);
    return 0;
}

int layout_find(struct layout *self, struct archive *archive, const struct layout_spec *spec,
                struct err *err)
{
    *self = (struct layout){0};
    layout_skip(archive, &self->ignored);
    struct layout_folder top = layout_top(archive);
    struct layout_folder first;
    size_t at = 0;
    if (!layout_next(archive, &top, &at, &first))
        return REFUSED("archive-empty", "the archive holds nothing but %s",
                       self->ignored.count > 0 ? self->ignored.rows[0].why : "its top folder");
    int rc = 0;
    if (spec->overlay)
        find_overlay(self, archive);
    else if (spec->whole)
        add_project(self, &top, &top, spec->name);
    else
        rc = find_projects(self, archive, spec->name, err);
    return rc ? rc : layout_tally(self, archive, &spec->limits, err);
}

static void notes_fini(struct layout_notes *self)
{
    for (size_t i = 0; i < self->count; i++)
        free(self->rows[i].path);
    free(self->rows);
}

void layout_fini(struct layout *self)
{
    for (size_t i = 0; i < self->project_count; i++) {
        free(self->projects[i].name);
        free(self->projects[i].folder);
        free(self->projects[i].failure);
    }
    free(self->projects);
    notes_fini(&self->ignored);
    notes_fini(&self->remarks);
    *self = (struct layout){0};
}
