#include "runner/jail/confine_spec.h"

#include "runner/jail/confine_inner.h"
#include "runner/jail/jail.h"

#include <linux/filter.h>
#include <stdio.h>
#include <string.h>

_Static_assert(sizeof(struct sock_filter) == 8, "a BPF instruction has 8 bytes");
_Static_assert(sizeof(struct confine_spec) == 16 + 7 * 8 + CONFINE_PATH_MAX + 64, "no padding");

struct confine_spec confine_spec_default(void)
{
    return (struct confine_spec){.file_bytes = UINT64_C(64) << 20,
                                 .processes = 64,
                                 .descriptors = 256,
                                 .tmp_bytes = UINT64_C(256) << 20,
                                 .tmp_inodes = 65536,
                                 .hostname = JAIL_HOSTNAME};
}

static bool is_hostname(const char *text)
{
    return strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-.") == strlen(text);
}

int confine_spec_build(const struct confine_spec *wanted, struct buf *out, struct err *err)
{
    owned_buf filter = BUF_INIT;
    if (!memchr(wanted->hostname, 0, sizeof wanted->hostname) || !is_hostname(wanted->hostname))
        return err_set(err, ERR_INVALID, "the sandbox's host name is none");
    int failed = filter_compile(&filter, err);
    if (failed)
        return failed;
    struct confine_spec spec = *wanted;
    spec.version = CONFINE_VERSION;
    spec.filter_count = (uint32_t)(filter.len / sizeof(struct sock_filter));
    spec.size = (uint32_t)(sizeof spec + filter.len);
    size_t before = out->len;
    buf_append(out, &spec, sizeof spec);
    buf_append(out, filter.data, filter.len);
    const char *problem = confine_spec_check(out->data + before, spec.size);
    if (problem) {
        out->len = before;
        return err_set(err, ERR_INVALID, "%s", problem);
    }
    return 0;
}

const char *confine_spec_check(const void *spec, size_t len) { return confine_check(spec, len); }
