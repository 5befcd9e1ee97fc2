#include "runner/env/blame.h"

#include "proto/base/mem.h"

#include <string.h>

#define MESSAGE_MAX 1024

/* In the order of belief: a full disk makes builds fail too, and a build that fails mentions
 * versions and wheels. Words of uv 0.13 and pip 22 to 25. */
static const struct rule {
    const char *words;
    struct blame blame;
} rules[] = {
    {"bwrap: ", {true, false, "sandbox"}},
    {"No module named pip", {true, false, "no-installer"}},
    {"No space left on device", {true, false, "disk-full"}},
    {"Disk quota exceeded", {true, false, "disk-full"}},
    {"Read-only file system", {true, false, "disk-full"}},
    {"File too large", {false, false, "package-too-large"}},
    {"is not a supported wheel on this platform", {false, false, "package-platform"}},
    {"Failed to build", {false, false, "package-build"}},
    {"failed to build", {false, false, "package-build"}},
    {"Build backend failed", {false, false, "package-build"}},
    {"error: subprocess-exited-with-error", {false, false, "package-build"}},
    {"metadata-generation-failed", {false, false, "package-build"}},
    {"THESE PACKAGES DO NOT MATCH THE HASHES", {false, false, "package-hash"}},
    {"Hash mismatch", {false, false, "package-hash"}},
    {"In `--require-hashes` mode", {false, false, "package-hash"}},
    {"in --require-hashes mode", {false, false, "package-hash"}},
    {"certificate verify failed", {true, false, "index-tls"}},
    {"CERTIFICATE_VERIFY_FAILED", {true, false, "index-tls"}},
    {"invalid peer certificate", {true, false, "index-tls"}},
    {"SSLError", {true, false, "index-tls"}},
    {"Could not find a suitable TLS CA certificate", {true, false, "index-tls"}},
    {"proxy authentication", {true, false, "index-unreachable"}},
    {"401 Unauthorized", {true, false, "index-unreachable"}},
    {"Tunnel connection failed", {true, false, "index-unreachable"}},
    {"ProxyError", {true, false, "index-unreachable"}},
    {"403 Client Error", {true, false, "index-unreachable"}},
    {"Connection refused", {true, false, "index-unreachable"}},
    {"Connection reset", {true, false, "index-unreachable"}},
    {"Network is unreachable", {true, false, "index-unreachable"}},
    {"Temporary failure in name resolution", {true, false, "index-unreachable"}},
    {"Name or service not known", {true, false, "index-unreachable"}},
    {"dns error", {true, false, "index-unreachable"}},
    {"NewConnectionError", {true, false, "index-unreachable"}},
    {"ConnectTimeoutError", {true, false, "index-unreachable"}},
    {"Read timed out", {true, false, "index-unreachable"}},
    {"operation timed out", {true, false, "index-unreachable"}},
    {"Failed to fetch", {true, false, "index-unreachable"}},
    {"error sending request", {true, false, "index-unreachable"}},
    {"Network connectivity is disabled", {true, false, "index-unreachable"}},
    {"503 Service Unavailable", {true, false, "index-unreachable"}},
    {"502 Bad Gateway", {true, false, "index-unreachable"}},
    {"504 Gateway Timeout", {true, false, "index-unreachable"}},
    {"building from source is disabled", {false, true, "package-no-wheel"}},
    {"no usable wheels", {false, true, "package-no-wheel"}},
    {"was not found in the package registry", {false, false, "package-not-found"}},
    {"was not found in the provided package locations", {false, false, "package-not-found"}},
    {"(from versions: none)", {false, false, "package-not-found"}},
    {"Requires-Python", {false, false, "package-python"}},
    {"does not satisfy Python", {false, false, "package-python"}},
    {"requires a different Python", {false, false, "package-python"}},
    {"there is no version of", {false, false, "package-not-found"}},
    {"No matching distribution found", {false, false, "package-not-found"}},
    {"ResolutionImpossible", {false, false, "package-conflict"}},
    {"conflicting dependencies", {false, false, "package-conflict"}},
    {"requirements are unsatisfiable", {false, false, "package-conflict"}},
    {"No solution found", {false, false, "package-conflict"}},
};

/* Lines that carry an installer's reason, rather than its progress. */
static bool tells_why(const char *line, size_t len)
{
    static const char *const starts[] = {
        "error:",     "ERROR:",   "Error:", "cause:", "hint:",  "Because", "And ",
        "Caused by:", "[stderr]", "  × ",   "× ",     "  ╰─▶ ", "╰─▶ ",    "caused by:"};
    while (len > 0 && (*line == ' ' || *line == '\t')) {
        line++;
        len--;
    }
    for (size_t i = 0; i < countof(starts); i++) {
        size_t start = strlen(starts[i]);
        if (len >= start && memcmp(line, starts[i], start) == 0)
            return true;
    }
    return false;
}

static void add_line(struct buf *message, size_t before, const char *line, size_t len)
{
    while (len > 0 && (line[len - 1] == '\r' || line[len - 1] == ' '))
        len--;
    if (len == 0 || message->len - before + len + 1 > MESSAGE_MAX)
        return;
    if (message->len > before)
        buf_putc(message, '\n');
    buf_append(message, line, len);
}

static void last_lines(const char *output, struct buf *message, size_t before)
{
    size_t len = strlen(output);
    const char *from = output + (len > MESSAGE_MAX / 2 ? len - MESSAGE_MAX / 2 : 0);
    if (from > output) {
        const char *line = strchr(from, '\n');
        from = line != NULL ? line + 1 : from;
    }
    for (; *from != '\0'; from += *from == '\n') {
        size_t line = strcspn(from, "\n");
        add_line(message, before, from, line);
        from += line;
    }
}

struct blame blame_read(const char *output, struct buf *message)
{
    struct blame blame = {false, false, "package-install"};
    for (size_t i = 0; i < countof(rules); i++) {
        if (strstr(output, rules[i].words) != NULL) {
            blame = rules[i].blame;
            break;
        }
    }
    size_t before = message->len;
    for (const char *at = output; *at != '\0'; at += *at == '\n') {
        size_t line = strcspn(at, "\n");
        if (tells_why(at, line))
            add_line(message, before, at, line);
        at += line;
    }
    if (message->len == before)
        last_lines(output, message, before);
    return blame;
}
