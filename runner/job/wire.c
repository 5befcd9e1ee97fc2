#include "runner/job/wire.h"

#include "proto/base/cursor.h"

#include <msgpack.h>
#include <stdio.h>
#include <string.h>

static int append(void *to, const char *bytes, size_t len)
{
    buf_append(to, bytes, len);
    return 0;
}

static void put_text(msgpack_packer *packer, const char *text)
{
    msgpack_pack_str_with_body(packer, text, strlen(text));
}

static void put_key_text(msgpack_packer *packer, const char *key, const char *text)
{
    put_text(packer, key);
    put_text(packer, text);
}

static void put_key_count(msgpack_packer *packer, const char *key, uint64_t count)
{
    put_text(packer, key);
    msgpack_pack_uint64(packer, count);
}

static const char *kind_name(enum job_kind kind)
{
    static const char *const names[] = {"run", "discover", "compile", "describe", "install"};
    return names[kind];
}

/* What a suite sees as its environment, and nothing else. "{top}" is the folder of an unsandboxed
 * job. */
static void put_environment(msgpack_packer *packer, const struct wire_job *job)
{
    const char *python = job->spec->environment.python;
    const char *dir = job->spec->environment.dir;
    char path[1024];
    if (job->temp_dir && dir)
        snprintf(path, sizeof(path), "%s/bin:/usr/local/bin:/usr/bin:/bin", dir);
    else
        snprintf(path, sizeof(path), "%.*s:/usr/local/bin:/usr/bin:/bin",
                 (int)(strrchr(python, '/') - python), python);
    put_text(packer, "env");
    msgpack_pack_map(packer, 6);
    put_key_text(packer, "PATH", path);
    put_key_text(packer, "HOME", job->temp_dir ? "{top}/tmp/home" : "/tmp/home");
    put_key_text(packer, "TMPDIR", job->temp_dir ? "{top}/tmp" : "/tmp");
    put_key_text(packer, "LANG", "C.UTF-8");
    put_key_text(packer, "USER", "tester");
    put_key_text(packer, "LOGNAME", "tester");
}

static void put_limits(msgpack_packer *packer, const struct wire_job *job)
{
    const struct job_limits *limits = &job->spec->limits;
    bool bind_memory = !job->has_cgroup && limits->memory_bytes > 0;
    put_text(packer, "rlimits");
    msgpack_pack_map(packer, bind_memory ? 5 : 4);
    put_key_count(packer, "RLIMIT_CORE", 0);
    put_key_count(packer, "RLIMIT_CPU", (limits->cpu_ms + 999) / 1000);
    put_key_count(packer, "RLIMIT_FSIZE", limits->file_bytes);
    put_key_count(packer, "RLIMIT_NOFILE", limits->descriptors);
    if (bind_memory)
        put_key_count(packer, "RLIMIT_AS", limits->memory_bytes);
}

void wire_encode_job(const struct wire_job *job, struct buf *out)
{
    const struct job_spec *spec = job->spec;
    msgpack_packer packer;
    msgpack_packer_init(&packer, out, append);
    msgpack_pack_map(&packer, 12);
    put_key_count(&packer, "id", job->id);
    put_key_text(&packer, "kind", kind_name(spec->kind));
    put_key_text(&packer, "project", spec->project);
    put_key_text(&packer, "module", spec->module ? spec->module : "");
    put_text(&packer, "args");
    msgpack_pack_array(&packer, spec->arg_count);
    for (size_t i = 0; i < spec->arg_count; i++)
        put_text(&packer, spec->args[i]);
    put_environment(&packer, job);
    put_text(&packer, "spec");
    msgpack_pack_bin_with_body(&packer, job->confine->data ? job->confine->data : "",
                               job->confine->len);
    put_key_count(&packer, "layers", spec->layer_count);
    put_text(&packer, "output");
    spec->output_dir ? msgpack_pack_true(&packer) : msgpack_pack_false(&packer);
    put_key_count(&packer, "cgroups", job->cgroup_count);
    put_key_text(&packer, "temp", job->temp_dir ? job->temp_dir : "");
    put_limits(&packer, job);
}

static void read_exited(struct cursor *in, struct wire_answer *out)
{
    uint64_t status, user, system, kib;
    cursor_uint(in, UINT64_MAX, &out->id);
    cursor_uint(in, INT32_MAX, &status);
    cursor_uint(in, UINT64_MAX / 4, &user);
    cursor_uint(in, UINT64_MAX / 4, &system);
    cursor_uint(in, UINT64_MAX / 2048, &kib);
    out->wait_status = (int)status;
    out->cpu_us = user + system;
    out->max_rss_bytes = kib * 1024;
}

/* Returns how many fields follow the name. */
static size_t read_answer(struct cursor *in, struct cursor_text name, struct wire_answer *out)
{
    if (cursor_text_is(name, "hello")) {
        struct cursor_text python;
        out->kind = WIRE_HELLO;
        cursor_uint(in, UINT32_MAX, &out->protocol);
        cursor_str(in, 64, &python);
        cursor_str(in, 64, &out->text);
        return 3;
    }
    if (cursor_text_is(name, "started")) {
        out->kind = WIRE_STARTED;
        cursor_uint(in, UINT64_MAX, &out->id);
        return 1;
    }
    if (cursor_text_is(name, "exited")) {
        out->kind = WIRE_EXITED;
        read_exited(in, out);
        return 5;
    }
    if (cursor_text_is(name, "failed")) {
        out->kind = WIRE_FAILED;
        cursor_uint(in, UINT64_MAX, &out->id);
        cursor_str(in, 2048, &out->text);
        return 2;
    }
    in->spoiled = true;
    return 0;
}

bool wire_decode_answer(struct wire_answer *out, const void *packet, size_t len)
{
    struct cursor in;
    struct cursor_text name;
    size_t fields;
    *out = (struct wire_answer){0};
    cursor_init(&in, packet, len);
    if (!cursor_array(&in, 8, &fields) || !cursor_str(&in, 16, &name))
        return false;
    return fields == 1 + read_answer(&in, name, out) && cursor_done(&in);
}

void wire_decode_status(struct wire_status *out, const void *bytes, size_t len)
{
    const char *text = bytes;
    *out = (struct wire_status){.kind = WIRE_STATUS_NONE};
    if (len > 0 && text[0] == '!') {
        out->kind = WIRE_STATUS_REFUSED;
        size_t size = len - 1 < sizeof(out->text) ? len - 1 : sizeof(out->text) - 1;
        memcpy(out->text, text + 1, size);
        out->text[strnlen(out->text, size)] = 0;
    } else if (len == sizeof(out->wait_status)) {
        out->kind = WIRE_STATUS_WAIT;
        memcpy(&out->wait_status, bytes, sizeof(out->wait_status));
    } else if (len == sizeof(out->end)) {
        out->kind = WIRE_STATUS_WAIT;
        memcpy(&out->end, bytes, sizeof(out->end));
        out->wait_status = out->end.wait_status;
    }
}
