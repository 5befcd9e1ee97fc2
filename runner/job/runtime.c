/* The harness, as it is inside this binary, and how it gets to disk. */
#include "proto/base/file.h"
#include "proto/base/mem.h"
#include "runner/jail/jail.h"
#include "runner/job/engine.h"

#include <string.h>
#include <sys/stat.h>

#define HARNESS(name)                                                                              \
    extern const unsigned char harness_##name[];                                                   \
    extern const size_t harness_##name##_len

HARNESS(server);
HARNESS(records);
HARNESS(payload);
HARNESS(plugin);
HARNESS(compiler);
HARNESS(plain);
HARNESS(describe);
HARNESS(installer);

/* A file that is there already is left alone: syncing a disk takes longer than starting a node. */
static int write_file(const char *path, const unsigned char *bytes, size_t len, struct err *err)
{
    owned_buf there = BUF_INIT;
    struct err unused = ERR_INIT;
    if (file_read(path, len, &there, &unused) == 0 && there.len == len &&
        memcmp(there.data, bytes, len) == 0)
        return 0;
    return file_replace(path, bytes, len, 0644, err);
}

int engine_write_runtime(const char *dir, struct err *err)
{
    const struct {
        const char *name;
        const unsigned char *bytes;
        size_t len;
    } files[] = {
        {"server.py", harness_server, harness_server_len},
        {"records.py", harness_records, harness_records_len},
        {"payload.py", harness_payload, harness_payload_len},
        {"plugin.py", harness_plugin, harness_plugin_len},
        {"compiler.py", harness_compiler, harness_compiler_len},
        {"plain.py", harness_plain, harness_plain_len},
        {"describe.py", harness_describe, harness_describe_len},
        {"installer.py", harness_installer, harness_installer_len},
    };
    int code = jail_write_runtime(dir, err);
    for (size_t i = 0; i < countof(files) && code == 0; i++) {
        owned_mem char *path = mem_printf("%s/%s", dir, files[i].name);
        code = write_file(path, files[i].bytes, files[i].len, err);
    }
    if (code == 0 && chmod(dir, 0755) < 0)
        code = err_set(err, ERR_IO, "chmod %s: %m", dir);
    return code;
}
