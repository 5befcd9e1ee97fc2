/* The command line of a jail: a table of what every jail has, then what this one has.
 *
 * Sources are collected while the line is built. Not as root they stand in it as they are; as root
 * they are replaced by the names that the helper stages them under (jail_helper.c). */
#include "runner/jail/jail.h"

#include "proto/base/file.h"
#include "proto/base/mem.h"
#include "runner/jail/jail_inner.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEFAULT_TMP_BYTES (UINT64_C(256) << 20)

struct list {
    char **items;
    size_t count;
    size_t capacity;
};

struct line {
    struct list args;    /* bubblewrap's, itself first */
    struct list sources; /* when staged */
    bool is_staged;
};

static void list_add(struct list *list, char *item_owned)
{
    list->items = mem_grow(list->items, &list->capacity, list->count + 2, sizeof *list->items);
    list->items[list->count++] = item_owned;
    list->items[list->count] = NULL;
}

static void list_fini(struct list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->items[i]);
    free(list->items);
    *list = (struct list){0};
}

static void add(struct line *line, const char *const *words)
{
    for (; *words; words++)
        list_add(&line->args, mem_strdup(*words));
}

#define ADD(line, ...) add(line, (const char *const[]){__VA_ARGS__, NULL})

static void add_bind(struct line *line, const char *how, const char *source, const char *target)
{
    list_add(&line->args, mem_strdup(how));
    if (line->is_staged) {
        list_add(&line->args, mem_printf(JAIL_STAGE "/%zu", line->sources.count));
        list_add(&line->sources, mem_strdup(source));
    } else {
        list_add(&line->args, mem_strdup(source));
    }
    list_add(&line->args, mem_strdup(target));
}

static void add_namespaces(struct line *line, const struct jail_spec *spec)
{
    ADD(line, "--unshare-all", "--die-with-parent", "--hostname", JAIL_HOSTNAME);
    if (spec->network == JAIL_NETWORK_HOST)
        ADD(line, "--share-net");
    /* CAP_SETFCAP is what the kernel asks of whoever maps its uid 0 into a namespace of its own. */
    if (spec->is_template)
        ADD(line, "--uid", "0", "--gid", "0", "--cap-add", "CAP_SYS_ADMIN", "--cap-add",
            "CAP_NET_ADMIN", "--cap-add", "CAP_SETFCAP");
    else
        ADD(line, "--uid", "1000", "--gid", "1000");
}

/* /usr as it is, and beside it the links (or, on older systems, folders) that lead into it. */
static void add_system(struct line *line)
{
    static const char *const folders[] = {"/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"};
    add_bind(line, "--ro-bind", "/usr", "/usr");
    for (size_t i = 0; i < countof(folders); i++) {
        struct stat st;
        char target[PATH_MAX];
        if (lstat(folders[i], &st) != 0)
            continue;
        ssize_t len = S_ISLNK(st.st_mode) ? readlink(folders[i], target, sizeof target - 1) : -1;
        if (len > 0) {
            target[len] = '\0';
            ADD(line, "--symlink", target, folders[i]);
        } else if (S_ISDIR(st.st_mode)) {
            add_bind(line, "--ro-bind", folders[i], folders[i]);
        }
    }
}

/* What the machine refuses once it refuses always: nobody who starts a jail need know. */
static bool is_proc_refused;

void jail_refuse_proc(bool is_refused) { is_proc_refused = is_refused; }

static void add_private(struct line *line, const struct jail_spec *spec)
{
    char size[24];
    snprintf(size, sizeof size, "%llu",
             (unsigned long long)(spec->tmp_bytes ? spec->tmp_bytes : DEFAULT_TMP_BYTES));
    if (spec->without_proc || is_proc_refused)
        ADD(line, "--dir", "/proc");
    else
        ADD(line, "--proc", "/proc");
    ADD(line, "--dev", "/dev", "--remount-ro", "/dev", "--perms", "1777", "--size", size, "--tmpfs",
        "/dev/shm", "--perms", "1777", "--size", size, "--tmpfs", "/tmp");
    ADD(line, "--dir", "/work", "--dir", "/run", "--dir", "/home", "--symlink", "/tmp", "/var/tmp");
}

static void add_etc(struct line *line, const struct jail_spec *spec)
{
    /* For an installer names are found the way the machine finds them. */
    static const char *const lookup[] = {"/etc/resolv.conf", "/etc/hosts"};
    owned_mem char *etc = mem_printf("%s/etc", spec->runtime_dir);
    add_bind(line, "--ro-bind", etc, "/etc");
    for (size_t i = 0; i < countof(lookup) && spec->network == JAIL_NETWORK_HOST; i++)
        if (file_exists(lookup[i]))
            add_bind(line, "--ro-bind", lookup[i], lookup[i]);
    if (spec->gate_fd > 0) {
        owned_mem char *gate = mem_printf("%s/" JAIL_GATE_FILE, spec->runtime_dir);
        add_bind(line, "--ro-bind", gate, JAIL_GATE_PATH);
    }
    if (spec->is_template) {
        owned_mem char *object = mem_printf("%s/" JAIL_CONFINE_FILE, spec->runtime_dir);
        add_bind(line, "--ro-bind", object, JAIL_CONFINE_PATH);
    }
}

static bool is_plain_path(const char *path)
{
    return path && path[0] == '/' && !strstr(path, "/../") && strlen(path) < PATH_MAX;
}

static int add_binds(struct line *line, const struct jail_spec *spec, struct err *err)
{
    for (size_t i = 0; i < spec->bind_count; i++) {
        const struct jail_bind *bind = &spec->binds[i];
        const char *target = bind->target ? bind->target : bind->source;
        if (!is_plain_path(bind->source) || !is_plain_path(target))
            return err_set(err, ERR_INVALID, "a jail cannot bind %s at %s",
                           bind->source ? bind->source : "nothing", target ? target : "nothing");
        if (!file_exists(bind->source)) {
            if (bind->optional)
                continue;
            return err_set(err, ERR_NOT_FOUND, "a jail needs %s, which is not there", bind->source);
        }
        add_bind(line, bind->writable ? "--bind" : "--ro-bind", bind->source, target);
    }
    return 0;
}

static int check_env(const char *const *envp, struct err *err)
{
    static const char *const steering[] = {"LD_", "GLIBC_TUNABLES", "GCONV_PATH", "MALLOC_"};
    for (; *envp; envp++)
        for (size_t i = 0; i < countof(steering); i++)
            if (strncmp(*envp, steering[i], strlen(steering[i])) == 0)
                return err_set(err, ERR_INVALID, "a jail cannot be given the variable %.40s",
                               *envp);
    return 0;
}

/* Puts the helper's words and the sources before bubblewrap's line. Uid 0 stands for ours. */
static void stage(struct line *line, const struct jail_spec *spec, struct list *out)
{
    list_add(out, mem_strdup(spec->helper));
    list_add(out, mem_strdup("--helper"));
    list_add(out, mem_strdup("jail"));
    uid_t uid = spec->uid ? spec->uid : JAIL_UID_BASE;
    list_add(out, mem_printf("%u", line->is_staged ? uid : 0));
    list_add(out, mem_printf("%d", (int)getpid()));
    list_add(out, mem_printf("%zu", line->sources.count));
    struct list *parts[] = {&line->sources, &line->args};
    for (size_t i = 0; i < countof(parts); i++)
        for (size_t j = 0; j < parts[i]->count; j++)
            list_add(out, steal_ptr(&parts[i]->items[j]));
}

static void add_number(struct line *line, int number)
{
    list_add(&line->args, mem_printf("%d", number));
}

static int fill_line(struct line *line, const struct jail_spec *spec,
                     const struct jail_targets *targets, struct err *err)
{
    add_namespaces(line, spec);
    add_system(line);
    add_etc(line, spec);
    add_private(line, spec);
    if (add_binds(line, spec, err) != 0)
        return (int)err->code;
    ADD(line, "--remount-ro", "/", "--chdir", spec->cwd ? spec->cwd : "/tmp");
    if (targets->filter >= 0) {
        ADD(line, "--seccomp");
        add_number(line, targets->filter);
    }
    ADD(line, "--");
    if (targets->gate >= 0) {
        ADD(line, JAIL_GATE_PATH);
        add_number(line, targets->gate);
    }
    add(line, spec->argv);
    return 0;
}

int jail_command_make(const struct jail_spec *spec, const struct jail_targets *targets,
                      struct jail_command *out, struct err *err)
{
    struct err local = ERR_INIT;
    err = err ? err : &local;
    *out = (struct jail_command){0};
    const char *const *envp = spec->envp ? spec->envp : jail_default_env();
    if (!spec->runtime_dir || !spec->helper || !spec->argv || !spec->argv[0])
        return err_set(err, ERR_INVALID, "a jail needs a runtime folder, a helper and a program");
    if (check_env(envp, err) != 0)
        return (int)err->code;
    struct line line = {.is_staged = geteuid() == 0};
    char *bwrap = spec->bwrap ? mem_strdup(spec->bwrap) : file_find_program("bwrap", NULL);
    if (!bwrap)
        return err_set(err, ERR_UNAVAILABLE, "bubblewrap (bwrap) is not installed");
    list_add(&line.args, bwrap);
    int failed = fill_line(&line, spec, targets, err);
    struct list argv = {0};
    if (!failed)
        stage(&line, spec, &argv);
    list_fini(&line.args);
    list_fini(&line.sources);
    if (failed)
        return failed;
    struct list env = {0};
    list_add(&env, mem_strdup("")); /* never empty: the array exists */
    free(env.items[--env.count]);
    for (env.items[0] = NULL; *envp; envp++)
        list_add(&env, mem_strdup(*envp));
    *out = (struct jail_command){.argv = argv.items, .argc = argv.count, .envp = env.items};
    return 0;
}

int jail_command_build(const struct jail_spec *spec, struct jail_command *out, struct err *err)
{
    return jail_command_make(spec, &(struct jail_targets){-1, -1}, out, err);
}

void jail_command_fini(struct jail_command *self)
{
    for (size_t i = 0; self->argv && self->argv[i]; i++)
        free(self->argv[i]);
    for (size_t i = 0; self->envp && self->envp[i]; i++)
        free(self->envp[i]);
    free(self->argv);
    free(self->envp);
    *self = (struct jail_command){0};
}

const char *const *jail_default_env(void)
{
    static const char *const env[] = {
        "PATH=/usr/local/bin:/usr/bin:/bin",
        "HOME=/tmp",
        "LANG=C.UTF-8",
        "USER=tester",
        "LOGNAME=tester",
        "TMPDIR=/tmp",
        NULL,
    };
    return env;
}
