/* What a job is given before it starts: sockets, pipes, folders, its sandbox in bytes. */
#include "proto/base/mem.h"
#include "runner/jail/confine_spec.h"
#include "runner/job/environment.h"
#include "runner/job/job_inner.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define INITS 1 /* processes of ours in a job's group */

static int keep_theirs(struct job *self, int fd)
{
    self->theirs[self->their_count++] = fd;
    return fd;
}

static int open_record_socket(struct job *self, struct err *err)
{
    int pair[2];
    int on = 1;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return err_set(err, ERR_IO, "socketpair: %m");
    self->record = pair[0];
    keep_theirs(self, pair[1]);
    if (setsockopt(self->record, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) < 0)
        return err_set(err, ERR_IO, "SO_PASSCRED: %m");
    return 0;
}

/* stdout and stderr share one pipe, so that a log reads in the order in which it was written. */
static int open_pipes(struct job *self, struct err *err)
{
    int output[2];
    int status[2];
    if (pipe2(output, O_CLOEXEC) < 0)
        return err_set(err, ERR_IO, "pipe: %m");
    self->output = output[0];
    keep_theirs(self, output[1]);
    int twin = fcntl(output[1], F_DUPFD_CLOEXEC, 3);
    if (twin < 0 || pipe2(status, O_CLOEXEC) < 0) {
        if (twin >= 0)
            close(twin);
        return err_set(err, ERR_IO, "pipe: %m");
    }
    keep_theirs(self, twin);
    self->status = status[0];
    keep_theirs(self, status[1]);
    if (fcntl(self->output, F_SETFL, O_NONBLOCK) < 0 ||
        fcntl(self->status, F_SETFL, O_NONBLOCK) < 0)
        return err_set(err, ERR_IO, "fcntl: %m");
    return 0;
}

static int open_folder(struct job *self, const char *path, struct err *err)
{
    int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return err_set(err, ERR_IO, "open %s: %m", path);
    keep_theirs(self, fd);
    return 0;
}

static int open_folders(struct job *self, const struct job_spec *spec, struct err *err)
{
    for (size_t i = 0; i < spec->layer_count; i++) {
        int code = open_folder(self, spec->layers[i], err);
        if (code != 0)
            return code;
    }
    if (!spec->output_dir)
        return 0;
    self->output_dir = mem_strdup(spec->output_dir);
    /* The jail's uid is to write there; what is above it is closed to everybody else. */
    if (self->engine->config.isolation == ENGINE_JAILED && chmod(spec->output_dir, 0777) < 0)
        return err_set(err, ERR_IO, "chmod %s: %m", spec->output_dir);
    return open_folder(self, spec->output_dir, err);
}

static int give_list(struct job *self, int procs_fd, struct err *err)
{
    int fd = fcntl(procs_fd, F_DUPFD_CLOEXEC, 3);
    if (fd < 0)
        return err_set(err, ERR_IO, "dup: %m");
    keep_theirs(self, fd);
    self->cgroup_count++;
    return 0;
}

static int take_cgroup(struct job *self, struct err *err)
{
    struct err unused = ERR_INIT;
    struct cgroup *group = &self->slot->cgroup;
    uint64_t most = self->limits.processes ? self->limits.processes + INITS : 0;
    if (group->kind == CGROUP_NONE || cgroup_begin(group, self->limits.memory_bytes, &unused) != 0)
        return 0;
    self->has_cgroup = true;
    self->counts_processes = cgroup_limit_processes(group, most);
    int code = give_list(self, group->procs_fd, err);
    return code == 0 && self->counts_processes && group->pids_fd >= 0
               ? give_list(self, group->pids_fd, err)
               : code;
}

static int build_sandbox(const struct job *self, const struct job_spec *spec, struct buf *out,
                         struct err *err)
{
    struct confine_spec wanted = confine_spec_default();
    const struct job_limits *limits = &spec->limits;
    wanted.flags = self->has_cgroup ? 0 : CONFINE_RLIMIT_AS;
    wanted.memory_bytes = limits->memory_bytes;
    wanted.cpu_seconds = (limits->cpu_ms + 999) / 1000;
    wanted.file_bytes = limits->file_bytes;
    /* The group's limit says when it was met; the other one, a little further, holds as well. */
    wanted.processes = limits->processes;
    if (self->counts_processes && limits->processes)
        wanted.processes += INITS;
    wanted.descriptors = limits->descriptors;
    wanted.tmp_bytes = limits->tmp_bytes;
    snprintf(wanted.project, sizeof(wanted.project), "/work/%s", spec->project);
    return confine_spec_build(&wanted, out, err);
}

static int check_spec(const struct job_spec *spec, struct err *err)
{
    const char *name = spec->project;
    if (!name || !*name || strchr(name, '/') || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return err_set(err, ERR_INVALID, "a project needs a folder name");
    if (spec->layer_count > JOB_LAYERS_MAX || spec->arg_count > JOB_ARGS_MAX)
        return err_set(err, ERR_INVALID, "too many layers or arguments");
    if (!spec->environment.key || !spec->environment.python || spec->environment.python[0] != '/')
        return err_set(err, ERR_INVALID, "a job needs an environment");
    if ((spec->kind == JOB_RUN) != (spec->module != NULL))
        return err_set(err, ERR_INVALID, "a module is for running, and for that alone");
    bool has_output = spec->kind == JOB_COMPILE || spec->kind == JOB_INSTALL;
    if (has_output != (spec->output_dir != NULL))
        return err_set(err, ERR_INVALID, "an output folder is for what makes a layer");
    return 0;
}

static void prepare_machines(struct job *self, const struct job_spec *spec)
{
    /* Init cannot be asked: in a jail it is pid 1, deaf to all but SIGKILL. Without one, TERM lets
     * it sweep up what the payload started. */
    static const struct supervise_rung jailed[] = {{9, 2000}};
    static const struct supervise_rung plain[] = {{15, 1500}, {9, 500}};
    bool in_jail = self->engine->config.isolation == ENGINE_JAILED;
    struct supervise_spec supervise = {
        .wall_ms = spec->limits.wall_ms,
        .output_bytes = spec->limits.output_bytes,
        .stream_count = 2,
        .ladder = in_jail ? jailed : plain,
        .ladder_count = in_jail ? countof(jailed) : countof(plain),
    };
    supervise_init(&self->supervise, &supervise);
    capture_init(&self->capture, CAPTURE_HEAD_BYTES, CAPTURE_TAIL_BYTES);
    verdict_init(&self->verdict, spec->kind, self->module);
}

int job_prepare(struct job *self, const struct job_spec *spec, struct err *err)
{
    bool in_jail = self->engine->config.isolation == ENGINE_JAILED;
    owned_buf sandbox = BUF_INIT;
    int code = check_spec(spec, err);
    if (code != 0)
        return code;
    self->module = spec->module ? mem_strdup(spec->module) : NULL;
    self->limits = spec->limits;
    environment_copy(&self->environment, &spec->environment);
    prepare_machines(self, spec);
    if ((code = open_record_socket(self, err)) != 0 || (code = open_pipes(self, err)) != 0 ||
        (code = open_folders(self, spec, err)) != 0 || (code = take_cgroup(self, err)) != 0)
        return code;
    if (in_jail && (code = build_sandbox(self, spec, &sandbox, err)) != 0)
        return code;
    const char *temp = self->engine->config.temp_dir;
    struct wire_job job = {
        .id = self->id,
        .spec = spec,
        .confine = &sandbox,
        .temp_dir = in_jail ? NULL : temp,
        .has_cgroup = self->has_cgroup,
        .cgroup_count = self->cgroup_count,
    };
    wire_encode_job(&job, &self->descriptor);
    return 0;
}
