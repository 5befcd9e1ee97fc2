#include "runner/child/cgroup.h"

#include "proto/base/file.h"
#include "proto/base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define FILE_MAX ((size_t)1 << 20)

static int write_file(const char *folder, const char *name, const char *text)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    owned_fd int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    ssize_t len = (ssize_t)strlen(text);
    return write(fd, text, (size_t)len) == len ? 0 : -1;
}

static int read_into(const char *folder, const char *name, struct buf *out)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return file_read(path, FILE_MAX, out, NULL);
}

static uint64_t read_number(const char *folder, const char *name)
{
    owned_buf text = BUF_INIT;
    return read_into(folder, name, &text) == 0 ? strtoull(buf_str(&text), NULL, 10) : 0;
}

/* Reads "key value" out of a file of such lines. */
static uint64_t read_keyed(const char *folder, const char *name, const char *key)
{
    owned_buf text = BUF_INIT;
    if (read_into(folder, name, &text) != 0)
        return 0;
    size_t len = strlen(key);
    for (const char *line = buf_str(&text); line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, key, len) == 0 && line[len] == ' ')
            return strtoull(line + len, NULL, 10);
    }
    return 0;
}

/* Finds where a hierarchy is mounted: the first line of /proc/self/mounts of this type and, for
 * version 1, with this option. */
static bool mount_of(const char *type, const char *option, char *out, size_t size)
{
    owned_buf text = BUF_INIT;
    if (file_read("/proc/self/mounts", FILE_MAX, &text, NULL) != 0)
        return false;
    char *save = NULL;
    for (char *line = strtok_r(text.data, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        char path[192], kind[32], options[512];
        if (sscanf(line, "%*s %191s %31s %511s", path, kind, options) != 3 ||
            strcmp(kind, type) != 0)
            continue;
        if (option && !strstr(options, option))
            continue;
        snprintf(out, size, "%s", path);
        return true;
    }
    return false;
}

/* Finds this process's group: the path behind ":<controllers>:" in /proc/self/cgroup. */
static bool path_of(const char *controller, char *out, size_t size)
{
    owned_buf text = BUF_INIT;
    if (file_read("/proc/self/cgroup", FILE_MAX, &text, NULL) != 0)
        return false;
    char *save = NULL;
    for (char *line = strtok_r(text.data, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        char *list = strchr(line, ':');
        char *path = list ? strchr(list + 1, ':') : NULL;
        if (!path)
            continue;
        *path++ = '\0';
        if (strcmp(list + 1, controller) != 0)
            continue;
        snprintf(out, size, "%s", strcmp(path, "/") == 0 ? "" : path);
        return true;
    }
    return false;
}

static bool make_group(const char *path) { return mkdir(path, 0755) == 0 || errno == EEXIST; }

/* Makes `name` in a hierarchy of version 1; it can be used when `limit` takes `none`. */
static bool find_one_v1(const char *controller, const char *name, const char *limit,
                        const char *none, char folder[384])
{
    char mount[192];
    char own[128] = "";
    if (!mount_of("cgroup", controller, mount, sizeof mount))
        return false;
    (void)path_of(controller, own, sizeof own);
    /* In a container the path may be the host's, and not exist below the mount. */
    const char *places[] = {own, ""};
    for (size_t i = 0; i < countof(places); i++) {
        snprintf(folder, 384, "%s%.100s/%.40s", mount, places[i], name);
        if (make_group(folder) && write_file(folder, limit, none) == 0)
            return true;
        int code = errno;
        (void)rmdir(folder);
        errno = code;
    }
    return false;
}

static bool find_v1(struct cgroup_root *out, const char *name)
{
    errno = 0;
    if (!find_one_v1("memory", name, "memory.limit_in_bytes", "-1", out->memory)) {
        if (errno)
            snprintf(out->why, sizeof out->why, "cgroup v1: %s", strerror(errno));
        return false;
    }
    (void)write_file(out->memory, "memory.use_hierarchy", "1");
    if (!find_one_v1("pids", name, "pids.max", "max", out->pids))
        out->pids[0] = '\0';
    out->kind = CGROUP_V1;
    return true;
}

/* A group of version 2 that has processes cannot hand controllers down: we move into a leaf first.
 */
static bool enable_v2(const char *parent, const char *wanted)
{
    if (write_file(parent, "cgroup.subtree_control", wanted) == 0)
        return true;
    char leaf[320];
    snprintf(leaf, sizeof leaf, "%.250s/testmesh-node", parent);
    if (errno != EBUSY || !make_group(leaf))
        return false;
    if (write_file(leaf, "cgroup.procs", "0") == 0 &&
        write_file(parent, "cgroup.subtree_control", wanted) == 0)
        return true;
    int code = errno;
    (void)write_file(parent, "cgroup.procs", "0");
    (void)rmdir(leaf);
    errno = code;
    return false;
}

static bool find_v2(struct cgroup_root *out, const char *name)
{
    char mount[192];
    char own[128] = "";
    char parent[256];
    if (!mount_of("cgroup2", NULL, mount, sizeof mount))
        return false;
    (void)path_of("", own, sizeof own);
    snprintf(parent, sizeof parent, "%.120s%.120s", mount, own);
    owned_buf controllers = BUF_INIT;
    if (read_into(parent, "cgroup.controllers", &controllers) != 0 ||
        !strstr(buf_str(&controllers), "memory")) {
        if (!mount_of("cgroup", "memory", mount, sizeof mount)) /* else version 1 has said why */
            snprintf(out->why, sizeof out->why, "cgroup v2: the memory controller is not here");
        return false;
    }
    bool has_pids = strstr(buf_str(&controllers), "pids") != NULL;
    const char *wanted = has_pids ? "+memory +pids" : "+memory";
    snprintf(out->memory, sizeof out->memory, "%.250s/%.40s", parent, name);
    if (enable_v2(parent, wanted) && make_group(out->memory) &&
        write_file(out->memory, "cgroup.subtree_control", wanted) == 0) {
        if (has_pids)
            memcpy(out->pids, out->memory, sizeof out->pids);
        out->kind = CGROUP_V2;
        return true;
    }
    snprintf(out->why, sizeof out->why, "cgroup v2: %s", strerror(errno));
    (void)rmdir(out->memory);
    return false;
}

/* Only empty groups can be removed: what has processes stays. */
static void remove_groups(const char *path)
{
    DIR *dir = opendir(path);
    if (!dir)
        return;
    for (struct dirent *entry; (entry = readdir(dir));)
        if (entry->d_type == DT_DIR && entry->d_name[0] != '.')
            (void)unlinkat(dirfd(dir), entry->d_name, AT_REMOVEDIR);
    closedir(dir);
    (void)rmdir(path);
}

/* A node that was killed could not remove its own: <anything>-<pid> beside ours, of a process that
 * is no more. */
static void remove_stale(const char *own)
{
    const char *name = strrchr(own, '/') + 1;
    const char *dash = strrchr(name, '-');
    owned_mem char *parent = mem_strndup(own, (size_t)(name - own));
    DIR *dir = dash ? opendir(parent) : NULL;
    if (!dir)
        return;
    size_t stem = (size_t)(dash + 1 - name);
    for (struct dirent *entry; (entry = readdir(dir));) {
        char *end;
        if (strncmp(entry->d_name, name, stem) != 0)
            continue;
        long pid = strtol(entry->d_name + stem, &end, 10);
        if (*end != '\0' || pid <= 0 || kill((pid_t)pid, 0) == 0 || errno != ESRCH)
            continue;
        owned_mem char *path = mem_printf("%s%s", parent, entry->d_name);
        remove_groups(path);
    }
    closedir(dir);
}

void cgroup_find(struct cgroup_root *out, const char *name)
{
    *out = (struct cgroup_root){.why = "no cgroup with a memory controller is mounted"};
    if (find_v1(out, name) || find_v2(out, name)) {
        out->why[0] = '\0';
        remove_stale(out->memory);
        if (out->pids[0])
            remove_stale(out->pids);
    } else {
        out->memory[0] = '\0';
    }
}

void cgroup_root_remove(const struct cgroup_root *root)
{
    if (root->kind != CGROUP_NONE)
        remove_groups(root->memory);
    if (root->kind == CGROUP_V1 && root->pids[0])
        remove_groups(root->pids);
}

static int open_procs(const char *folder)
{
    char procs[480];
    snprintf(procs, sizeof procs, "%s/cgroup.procs", folder);
    return open(procs, O_WRONLY | O_CLOEXEC);
}

/* Processes that cannot be counted are no reason to go without the rest. */
static void open_pids(struct cgroup *self, const struct cgroup_root *root, unsigned slot)
{
    if (root->kind == CGROUP_V2 && root->pids[0]) {
        memcpy(self->pids, self->path, sizeof self->pids);
        return;
    }
    if (!root->pids[0])
        return;
    snprintf(self->pids, sizeof self->pids, "%s/slot-%u", root->pids, slot);
    if (make_group(self->pids) && (self->pids_fd = open_procs(self->pids)) >= 0)
        return;
    (void)rmdir(self->pids);
    self->pids[0] = '\0';
}

int cgroup_open(struct cgroup *self, const struct cgroup_root *root, unsigned slot, struct err *err)
{
    *self = (struct cgroup){.procs_fd = -1, .pids_fd = -1};
    if (root->kind == CGROUP_NONE)
        return err_set(err, ERR_UNAVAILABLE, "no cgroup: %s", root->why);
    snprintf(self->path, sizeof self->path, "%s/slot-%u", root->memory, slot);
    if (!make_group(self->path))
        return err_set(err, ERR_IO, "make the cgroup %s: %m", self->path);
    self->procs_fd = open_procs(self->path);
    if (self->procs_fd < 0)
        return err_set(err, ERR_IO, "open %s/cgroup.procs: %m", self->path);
    self->kind = root->kind;
    open_pids(self, root, slot);
    return 0;
}

/* What has just been killed may not have left yet. */
static void remove_slot(const char *path)
{
    const struct timespec pause = {.tv_nsec = 5000000};
    for (int tries = 0; tries < 20; tries++) {
        if (rmdir(path) == 0 || errno != EBUSY)
            return;
        nanosleep(&pause, NULL);
    }
}

void cgroup_close(struct cgroup *self)
{
    mem_close_at(&self->procs_fd);
    if (self->kind != CGROUP_NONE)
        remove_slot(self->path);
    if (self->pids_fd >= 0)
        remove_slot(self->pids);
    mem_close_at(&self->pids_fd);
    self->kind = CGROUP_NONE;
}

static uint64_t oom_counter(const struct cgroup *self)
{
    return read_keyed(self->path, self->kind == CGROUP_V1 ? "memory.oom_control" : "memory.events",
                      "oom_kill");
}

static int limit_v1(const struct cgroup *self, const char *limit)
{
    /* Both are lifted first: the kernel refuses memory above memory plus swap at any moment. */
    (void)write_file(self->path, "memory.memsw.limit_in_bytes", "-1");
    if (write_file(self->path, "memory.limit_in_bytes", "-1") != 0 ||
        write_file(self->path, "memory.limit_in_bytes", limit) != 0)
        return -1;
    (void)write_file(self->path, "memory.memsw.limit_in_bytes", limit); /* absent without swap */
    (void)write_file(self->path, "memory.max_usage_in_bytes", "0");
    return 0;
}

static int limit_v2(const struct cgroup *self, const char *limit)
{
    (void)write_file(self->path, "memory.swap.max", "0");
    (void)write_file(self->path, "memory.oom.group", "0");
    (void)write_file(self->path, "memory.peak", "0"); /* only newer kernels can reset it */
    return write_file(self->path, "memory.max", limit);
}

int cgroup_begin(struct cgroup *self, uint64_t memory_bytes, struct err *err)
{
    if (!cgroup_is_empty(self))
        return err_set(err, ERR_BUSY, "the cgroup %s still has processes", self->path);
    bool is_v1 = self->kind == CGROUP_V1;
    char limit[32];
    snprintf(limit, sizeof limit, "%llu", (unsigned long long)memory_bytes);
    if (memory_bytes == 0)
        snprintf(limit, sizeof limit, "%s", is_v1 ? "-1" : "max");
    if ((is_v1 ? limit_v1(self, limit) : limit_v2(self, limit)) != 0)
        return err_set(err, ERR_IO, "limit the cgroup %s: %m", self->path);
    self->ooms = oom_counter(self);
    return 0;
}

bool cgroup_limit_processes(struct cgroup *self, uint64_t processes)
{
    char limit[32] = "max";
    if (self->kind == CGROUP_NONE || !self->pids[0])
        return false;
    if (processes > 0)
        snprintf(limit, sizeof limit, "%llu", (unsigned long long)processes);
    self->refused = read_keyed(self->pids, "pids.events", "max");
    return write_file(self->pids, "pids.max", limit) == 0;
}

uint64_t cgroup_forks_refused(const struct cgroup *self)
{
    if (self->kind == CGROUP_NONE || !self->pids[0])
        return 0;
    uint64_t now = read_keyed(self->pids, "pids.events", "max");
    return now > self->refused ? now - self->refused : 0;
}

uint64_t cgroup_oom_kills(const struct cgroup *self)
{
    if (self->kind == CGROUP_NONE)
        return 0;
    uint64_t now = oom_counter(self);
    return now > self->ooms ? now - self->ooms : 0;
}

uint64_t cgroup_memory_now(const struct cgroup *self)
{
    return read_number(self->path,
                       self->kind == CGROUP_V1 ? "memory.usage_in_bytes" : "memory.current");
}

uint64_t cgroup_memory_peak(const struct cgroup *self)
{
    return read_number(self->path,
                       self->kind == CGROUP_V1 ? "memory.max_usage_in_bytes" : "memory.peak");
}

bool cgroup_is_empty(const struct cgroup *self)
{
    owned_buf procs = BUF_INIT;
    return read_into(self->path, "cgroup.procs", &procs) != 0 || procs.len == 0;
}

void cgroup_kill(const struct cgroup *self)
{
    if (self->kind == CGROUP_V2 && write_file(self->path, "cgroup.kill", "1") == 0)
        return;
    owned_buf procs = BUF_INIT;
    if (self->kind == CGROUP_NONE || read_into(self->path, "cgroup.procs", &procs) != 0)
        return;
    char *save = NULL;
    for (char *line = procs.len ? strtok_r(procs.data, "\n", &save) : NULL; line;
         line = strtok_r(NULL, "\n", &save)) {
        long pid = strtol(line, NULL, 10);
        if (pid > 1)
            kill((pid_t)pid, SIGKILL);
    }
}
