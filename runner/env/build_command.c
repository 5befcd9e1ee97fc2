#include "proto/base/file.h"
#include "proto/base/mem.h"
#include "runner/env/build_inner.h"
#include "runner/env/pyc.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

/* Where a step sees things, in a jail. */
#define IN_JAIL    "/in"
#define CACHE_JAIL "/cache"
#define TEMP_JAIL  "/build"
#define OUT_JAIL   "/out"
#define UV_JAIL    "/opt/uv/uv"

#define SYSTEM_CERTIFICATES "/etc/ssl/certs/ca-certificates.crt"

static bool is_jailed(const struct build *build) { return build->spec.config->runtime_dir != NULL; }

static const char *keep(struct build_command *self, char *text_owned)
{
    assert(self->text_count < countof(self->texts));
    self->texts[self->text_count++] = text_owned;
    return text_owned;
}

static void arg(struct build_command *self, const char *text)
{
    assert(self->argc < BUILD_ARGS_MAX);
    self->argv[self->argc++] = text;
}

static void args(struct build_command *self, const char *const *texts)
{
    for (; *texts != NULL; texts++)
        arg(self, *texts);
}

static void var(struct build_command *self, const char *text)
{
    assert(self->envc < BUILD_VARS_MAX);
    self->envp[self->envc++] = text;
}

static void bind_path(struct build_command *self, const struct jail_bind *bind)
{
    assert(self->bind_count < BUILD_BINDS_MAX);
    self->binds[self->bind_count++] = *bind;
}

/* The tree of this step, on the host. */
static const char *tree(const struct build *build)
{
    return build->step == BUILD_RESOLVE ? build->scratch : build->spec.dir;
}

/* Strangers' code writes to caches: theirs is thrown away. */
static bool uses_shared_cache(const struct build *build) { return build->step == BUILD_WHEELS; }

/* Paths as the step sees them. */
struct seen {
    const char *tree;
    const char *in;
    const char *cache;
    const char *temp;
    const char *uv;
};

static struct seen look(struct build_command *self, const struct build *build)
{
    const struct build_spec *spec = &build->spec;
    if (is_jailed(build))
        return (struct seen){ENV_ROOT, IN_JAIL, CACHE_JAIL, TEMP_JAIL, UV_JAIL};
    return (struct seen){
        .tree = tree(build),
        .in = keep(self, mem_printf("%s/in", spec->work)),
        .cache =
            uses_shared_cache(build) ? spec->cache : keep(self, mem_printf("%s/cache", spec->work)),
        .temp = keep(self, mem_printf("%s/build", spec->work)),
        .uv = spec->uv,
    };
}

static void bind_all(struct build_command *self, const struct build *build)
{
    const struct build_spec *spec = &build->spec;
    bind_path(self,
              &(struct jail_bind){tree(build), ENV_ROOT, build->step != BUILD_COMPILE, false});
    for (size_t i = 0; i < spec->python->bind_count; i++)
        bind_path(self, &(struct jail_bind){.source = spec->python->binds[i]});
    bind_path(self, &(struct jail_bind){.source = keep(self, mem_printf("%s/in", spec->work)),
                                        .target = IN_JAIL});
    if (build->step == BUILD_COMPILE) {
        bind_path(self, &(struct jail_bind){keep(self, mem_printf("%s/" PYC_OUT, spec->work)),
                                            OUT_JAIL, true, false});
        return;
    }
    bind_path(self, &(struct jail_bind){keep(self, mem_printf("%s/build", spec->work)), TEMP_JAIL,
                                        true, false});
    const char *cache =
        uses_shared_cache(build) ? spec->cache : keep(self, mem_printf("%s/cache", spec->work));
    bind_path(self, &(struct jail_bind){cache, CACHE_JAIL, true, false});
    if (spec->uv != NULL)
        bind_path(self, &(struct jail_bind){.source = spec->uv, .target = UV_JAIL});
    for (size_t i = 0; i < spec->settings->bind_count; i++) {
        const char *path = spec->settings->binds[i];
        /* A jail has its own copy of the machine's certificates, and /usr. */
        if (strncmp(path, "/usr/", 5) != 0 && strncmp(path, "/etc/", 5) != 0)
            bind_path(self, &(struct jail_bind){.source = path, .optional = true});
    }
}

static void take_vars(struct build_command *self, const struct build *build, const char *temp)
{
    static const char *const always[] = {
        "PATH=/usr/local/bin:/usr/bin:/bin",
        "LANG=C.UTF-8",
        "NO_COLOR=1",
        "PIP_CONFIG_FILE=/dev/null",
        "PIP_NO_INPUT=1",
        "PIP_DISABLE_PIP_VERSION_CHECK=1",
        "UV_PYTHON_DOWNLOADS=never",
        "PIP_ROOT_USER_ACTION=ignore",
    };
    for (size_t i = 0; i < countof(always); i++)
        var(self, always[i]);
    var(self, keep(self, mem_printf("HOME=%s", temp)));
    var(self, keep(self, mem_printf("TMPDIR=%s", temp)));
    /* The machine's certificates, a company's own among them, rather than the installer's. */
    if (!build->spec.settings->has_certificates && file_exists(SYSTEM_CERTIFICATES)) {
        var(self, "SSL_CERT_FILE=" SYSTEM_CERTIFICATES);
        var(self, "PIP_CERT=" SYSTEM_CERTIFICATES);
    }
    /* The operator's proxies, and their passwords, are for the node's own one: a gate names that.
     */
    bool has_gate = is_jailed(build) && build->spec.config->egress != NULL;
    for (char *const *at = build->spec.settings->vars; *at != NULL; at++)
        if (!has_gate || !egress_is_proxy_variable(*at))
            var(self, *at);
}

static void take_uv(struct build_command *self, const struct build *build, const struct seen *seen)
{
    bool resolves = build->step == BUILD_RESOLVE;
    const struct requirements *wanted = build->spec.requirements;
    args(self, (const char *const[]){seen->uv, "pip", resolves ? "compile" : "install",
                                     "--no-config", "--no-progress", "--python",
                                     keep(self, mem_printf("%s/bin/python", seen->tree)),
                                     "--cache-dir", seen->cache, "--link-mode", "copy", NULL});
    if (resolves)
        args(self, (const char *const[]){"-q", "--no-header", "--no-annotate", NULL});
    if (build->step == BUILD_WHEELS)
        arg(self, "--no-build");
    if (build->spec.settings->no_index)
        arg(self, "--no-index");
    if (wanted->prerelease)
        args(self, (const char *const[]){"--prerelease", "allow", NULL});
    if (!resolves && wanted->require_hashes && !build->spec.is_pytest_added)
        arg(self, "--require-hashes");
    bool pinned = build->pins.count > 0;
    if (pinned)
        arg(self, "--no-deps");
    if (!resolves)
        arg(self, "-r");
    arg(self, keep(self, mem_printf("%s/%s", seen->in, pinned ? "pins.txt" : "requirements.txt")));
    if (!pinned)
        args(self, (const char *const[]){
                       "-c", keep(self, mem_printf("%s/constraints.txt", seen->in)), NULL});
}

static void take_pip(struct build_command *self, const struct build *build, const struct seen *seen)
{
    const struct requirements *wanted = build->spec.requirements;
    args(self, (const char *const[]){build->spec.python->executable, "-I", "-m", "pip", "--python",
                                     keep(self, mem_printf("%s/bin/python", seen->tree)), "install",
                                     "--no-compile", "--progress-bar", "off",
                                     "--no-warn-script-location", "--cache-dir", seen->cache, "-r",
                                     keep(self, mem_printf("%s/requirements.txt", seen->in)), "-c",
                                     keep(self, mem_printf("%s/constraints.txt", seen->in)), NULL});
    if (wanted->prerelease)
        arg(self, "--pre");
    if (wanted->require_hashes && !build->spec.is_pytest_added)
        arg(self, "--require-hashes");
}

/* By the bare interpreter: the environment's own was in strangers' hands. */
static void take_compile(struct build_command *self, const struct build *build,
                         const struct seen *seen)
{
    const char *out =
        is_jailed(build) ? OUT_JAIL : keep(self, mem_printf("%s/" PYC_OUT, build->spec.work));
    args(self,
         (const char *const[]){
             build->spec.python->executable, "-I", "-S", "-W", "ignore", "-c", (const char *)pyc_py,
             keep(self, mem_printf("%s/%s", seen->in, strrchr(PYC_LIST, '/') + 1)), seen->tree, out,
             NULL});
}

/* Only what was installed without running anything may feed what all share, and only where jails
 * keep builds away from it. */
static const char *pyc_cache(const struct build *build, bool to_feed)
{
    if (!is_jailed(build) || (to_feed && build->installed_by != BUILD_WHEELS))
        return "";
    return build->spec.pyc;
}

static void take_helper(struct build_command *self, const struct build *build)
{
    const struct build_spec *spec = &build->spec;
    const struct python *python = spec->python;
    if (build->step == BUILD_SEAL) {
        args(self, (const char *const[]){spec->config->self, "--helper", "env", "seal", spec->dir,
                                         spec->work, pyc_cache(build, true), python->tag, NULL});
        return;
    }
    const char *salt = keep(self, mem_printf("%s %s", python->abi, python->version));
    args(self, (const char *const[]){spec->config->self, "--helper", "env", "look", spec->dir,
                                     is_jailed(build) ? ENV_ROOT : spec->dir, spec->work,
                                     pyc_cache(build, false), python->tag, salt, NULL});
}

int build_command_init(struct build_command *self, const struct build *build, struct err *err)
{
    memset(self, 0, sizeof *self);
    const struct build_spec *spec = &build->spec;
    if (build->step == BUILD_LOOK || build->step == BUILD_SEAL) {
        if (spec->config->self == NULL)
            return err_set(err, ERR_INVALID, "the store does not know its own program");
        take_helper(self, build);
        return 0;
    }
    struct seen seen = look(self, build);
    if (is_jailed(build))
        bind_all(self, build);
    take_vars(self, build, build->step == BUILD_COMPILE ? "/tmp" : seen.temp);
    if (build->step == BUILD_COMPILE)
        take_compile(self, build, &seen);
    else if (build->step == BUILD_PIP)
        take_pip(self, build, &seen);
    else
        take_uv(self, build, &seen);
    return 0;
}

void build_command_fini(struct build_command *self)
{
    for (size_t i = 0; i < self->text_count; i++)
        free(self->texts[i]);
    self->text_count = 0;
}

/* Makes one folder that the installer may write to. */
static int make_writable(const struct build *build, const char *path, struct err *err)
{
    uid_t uid = build->spec.config->uid;
    int rc = file_make_dirs(path, 0755, err);
    if (rc == 0 && is_jailed(build) && geteuid() == 0 && chown(path, uid, uid) != 0)
        rc = err_set(err, ERR_IO, "chown %s: %m", path);
    return rc;
}

int build_work_make(const struct build *build, struct err *err)
{
    static const char *const folders[] = {"in", "build", "cache", PYC_OUT};
    int rc = 0;
    for (size_t i = 0; i < countof(folders) && rc == 0; i++) {
        owned_mem char *path = mem_printf("%s/%s", build->spec.work, folders[i]);
        rc = i == 0 ? file_make_dirs(path, 0755, err) : make_writable(build, path, err);
    }
    return rc;
}

static int write_text(const char *dir, const char *name, const struct buf *text, struct err *err)
{
    owned_mem char *path = mem_printf("%s/%s", dir, name);
    owned_fd int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0)
        return err_set(err, ERR_IO, "create %s: %m", path);
    return file_write_all(fd, buf_str(text), text->len, err);
}

/* Flags are given on the command line, and hashes bind where they stand: pytest, which the node
 * adds, has none. */
static int write_list(const struct build *build, const char *name, const struct requirements *list,
                      struct err *err)
{
    owned_mem char *in = mem_printf("%s/in", build->spec.work);
    owned_buf text = BUF_INIT;
    for (size_t i = 0; i < list->count; i++)
        buf_printf(&text, "%s\n", list->items[i].text);
    return write_text(in, name, &text, err);
}

int build_inputs_write(const struct build *build, struct err *err)
{
    int rc = write_list(build, "requirements.txt", build->spec.requirements, err);
    if (rc == 0)
        rc = write_list(build, "constraints.txt", build->spec.constraints, err);
    return rc == 0 ? write_list(build, "pins.txt", &build->pins, err) : rc;
}

static int link_to(const char *target, const char *dir, const char *name, struct err *err)
{
    owned_mem char *path = mem_printf("%s/%s", dir, name);
    return symlink(target, path) == 0 ? 0 : err_set(err, ERR_IO, "link %s: %m", path);
}

/* What `python -m venv --without-pip` makes, in a fiftieth of its time. */
int build_tree_make(const struct build *build, const char *dir, struct err *err)
{
    const struct python *python = build->spec.python;
    const char *dot = strchr(python->version, '.');
    int minor = (int)((size_t)(dot - python->version) + 1 + strcspn(dot + 1, "."));
    owned_mem char *bin = mem_printf("%s/bin", dir);
    owned_mem char *lib = mem_printf("%s/lib", dir);
    owned_mem char *versioned = mem_printf("%s/python%.*s", lib, minor, python->version);
    owned_mem char *site = mem_printf("%s/site-packages", versioned);
    owned_mem char *name = mem_printf("python%.*s", minor, python->version);
    owned_mem char *home = mem_strdup(python->executable);
    *strrchr(home, '/') = '\0';

    const char *const folders[] = {dir, bin, lib, versioned, site};
    int rc = 0;
    for (size_t i = 0; i < countof(folders) && rc == 0; i++)
        rc = make_writable(build, folders[i], err);
    if (rc == 0)
        rc = link_to(python->executable, bin, "python", err);
    if (rc == 0)
        rc = link_to("python", bin, "python3", err);
    if (rc == 0)
        rc = link_to("python", bin, name, err);
    if (rc == 0)
        rc = link_to("lib", dir, "lib64", err);
    owned_buf settings = BUF_INIT;
    buf_printf(&settings,
               "home = %s\ninclude-system-site-packages = false\nversion = %s\n"
               "executable = %s\n",
               home, python->version, python->executable);
    return rc == 0 ? write_text(dir, "pyvenv.cfg", &settings, err) : rc;
}
