/* The helper that turns a bundle, and perhaps one laid over it, into a tree on disk. */
#include "proto/base/file.h"
#include "proto/base/mem.h"
#include "runner/intake/extract.h"
#include "runner/intake/intake.h"
#include "runner/intake/limits.h"
#include "runner/intake/lockin.h"
#include "runner/intake/manifest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define LAYERS_MAX 2

struct layer {
    const char *path;
    struct hash hash;
    int fd;
};

struct task {
    const char *out_dir;
    char *temporary; /* beside it */
    struct layer layers[LAYERS_MAX];
    size_t layer_count;
    bool made;
    struct archive_limits limits; /* of a project */
};

static int open_layers(struct task *self, struct err *err)
{
    for (size_t i = 0; i < self->layer_count; i++) {
        struct layer *layer = &self->layers[i];
        layer->fd = open(layer->path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
        if (layer->fd < 0)
            return err_set(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, "open %s: %m",
                           layer->path);
    }
    return 0;
}

/* A helper that was killed may have left a part of a tree behind. */
static int make_temporary(struct task *self, struct err *err)
{
    int rc = file_remove_tree(self->temporary, err);
    if (rc)
        return rc;
    if (mkdir(self->temporary, 0700))
        return err_set(err, ERR_IO, "make %s: %m", self->temporary);
    self->made = true;
    return 0;
}

static int enter_parent(const struct task *self, struct err *err)
{
    owned_mem char *parent = mem_strdup(self->out_dir);
    char *slash = strrchr(parent, '/');
    if (slash)
        slash[slash == parent] = '\0';
    owned_fd int fd = open(slash ? parent : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return err_set(err, ERR_IO, "open %s: %m", parent);
    lockin(fd, self->limits.file_bytes);
    return 0;
}

static int write_tree(struct task *self, struct err *err)
{
    struct extract extract;
    int rc = extract_open(&extract, self->temporary, &self->limits, err);
    for (size_t i = 0; !rc && i < self->layer_count; i++) {
        extract.replace = i > 0;
        extract.size_bytes = extract.item_count = 0;
        rc = extract_bundle(&extract, self->layers[i].fd, &self->layers[i].hash, err);
        if (rc)
            err_wrap(err, "%s", self->layers[i].path);
    }
    if (!rc)
        rc = extract_finish(&extract, err);
    extract_close(&extract);
    return rc;
}

/* Another helper may have been quicker with the same tree: then there is nothing left to do. */
static int publish(struct task *self, struct err *err)
{
    if (rename(self->temporary, self->out_dir) == 0) {
        self->made = false;
        return 0;
    }
    if (errno == ENOTEMPTY || errno == EEXIST)
        return 0;
    return err_set(err, ERR_IO, "name %s: %m", self->out_dir);
}

static int run(struct task *self, struct err *err)
{
    if (file_exists(self->out_dir))
        return 0;
    int rc = open_layers(self, err);
    if (!rc)
        rc = enter_parent(self, err);
    if (!rc)
        rc = make_temporary(self, err);
    if (!rc)
        rc = write_tree(self, err);
    return rc ? rc : publish(self, err);
}

static bool parse_arguments(struct task *self, int argc, char **argv)
{
    int at = 1;
    if (argc > 2 && strcmp(argv[1], "--limits") == 0) {
        if (!limits_parse(argv[2], &self->limits))
            return false;
        at = 3;
    }
    if (argc - at != 3 && argc - at != 1 + 2 * LAYERS_MAX)
        return false;
    self->out_dir = argv[at];
    for (at++; at < argc; at += 2) {
        struct layer *layer = &self->layers[self->layer_count++];
        *layer = (struct layer){.path = argv[at], .fd = -1};
        if (hash_from_hex(&layer->hash, argv[at + 1]))
            return false;
    }
    return true;
}

int helper_materialise_main(int argc, char **argv)
{
    struct task task = {.limits = ARCHIVE_LIMITS_DEFAULT};
    if (!parse_arguments(&task, argc, argv)) {
        fputs("usage: materialise [--limits N,...] OUT_DIR BUNDLE HASH [OVERLAY HASH]\n", stderr);
        return 2;
    }
    umask(022);
    struct err err = ERR_INIT;
    task.temporary = mem_printf("%s.tmp", task.out_dir);
    int rc = run(&task, &err);
    if (task.made && file_remove_tree(task.temporary, NULL))
        fprintf(stderr, "%s is left behind\n", task.temporary);
    for (size_t i = 0; i < task.layer_count; i++)
        mem_close_at(&task.layers[i].fd);
    free(task.temporary);
    owned_buf out = BUF_INIT;
    if (rc)
        manifest_write_error(&out, &err);
    else
        buf_puts(&out, "{\"done\":true}");
    if (file_write_all(STDOUT_FILENO, out.data, out.len, NULL))
        return 1;
    return rc ? 1 : 0;
}
