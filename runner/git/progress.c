#include "runner/git/progress.h"

#include "proto/base/json.h"

#include <string.h>

static const char begin[] = "{\"phase\":";

static const char *const names[FETCH_PHASES] = {"waiting", "connecting", "receiving", "indexing"};

const char *progress_phase_name(enum fetch_phase phase)
{
    return (unsigned)phase < FETCH_PHASES ? names[phase] : "unknown";
}

void progress_put(const struct fetch_progress *self, struct buf *out)
{
    struct json_out json;
    json_out_init(&json, out);
    json_out_open_object(&json);
    json_out_key_str(&json, "phase", progress_phase_name(self->phase));
    json_out_key_uint(&json, "received", self->received_bytes);
    json_out_key_uint(&json, "objects", self->objects);
    json_out_key_uint(&json, "tries", self->tries);
    json_out_close_object(&json);
    buf_putc(out, '\n');
}

bool progress_is_line(const char *line, size_t len)
{
    return len >= sizeof begin - 1 && memcmp(line, begin, sizeof begin - 1) == 0;
}

bool progress_read(struct fetch_progress *self, const char *line, size_t len)
{
    owned_json *root = json_in_parse(line, len, NULL);
    const char *name = json_in_str(root, "phase", "");
    int64_t received = json_in_int(root, "received", -1);
    int64_t objects = json_in_int(root, "objects", -1);
    int64_t tries = json_in_int(root, "tries", -1);
    unsigned phase = 0;
    while (phase < FETCH_PHASES && strcmp(names[phase], name) != 0)
        phase++;
    if (phase == FETCH_PHASES || received < 0 || objects < 0 || objects > UINT32_MAX || tries < 0 ||
        tries > UINT32_MAX)
        return false;
    *self = (struct fetch_progress){.phase = (enum fetch_phase)phase,
                                    .received_bytes = (uint64_t)received,
                                    .objects = (uint32_t)objects,
                                    .tries = (uint32_t)tries};
    return true;
}
