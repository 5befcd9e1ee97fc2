#include "runner/job/verdict_case.h"

#include "proto/base/json.h"
#include "proto/base/mem.h"

#include <string.h>

static const char *const outcome_names[] = {"passed",  "skipped", "xfailed",
                                            "xpassed", "failed",  "error"};

const char *case_outcome_name(enum case_outcome outcome) { return outcome_names[outcome]; }

static enum case_outcome outcome_of(const struct record *phase)
{
    static const enum case_outcome as_reported[RECORD_OUTCOMES] = {
        [RECORD_PASSED] = CASE_PASSED,   [RECORD_SKIPPED] = CASE_SKIPPED,
        [RECORD_XFAILED] = CASE_XFAILED, [RECORD_XPASSED] = CASE_XPASSED,
        [RECORD_FAILED] = CASE_FAILED,
    };
    if (phase->phase.flags & RECORD_FLAG_RAISED)
        return CASE_ERROR;
    bool outside = phase->phase.when == RECORD_SETUP || phase->phase.when == RECORD_TEARDOWN;
    if (outside && phase->phase.outcome == RECORD_FAILED)
        return CASE_ERROR;
    /* As pytest has it: a part that failed fails its test, one that was skipped changes nothing. */
    if (phase->phase.when == RECORD_SUBTEST && phase->phase.outcome != RECORD_FAILED)
        return CASE_PASSED;
    return as_reported[phase->phase.outcome];
}

/* What is said about the worst phase replaces what was said about a better one. */
static void hold(struct verdict_case *self, enum case_text which, struct cursor_text text,
                 size_t room)
{
    if (text.len == 0 || text.len > room)
        return;
    free(self->texts[which]);
    self->texts[which] = mem_strndup(text.data, text.len);
}

/* Set-up, call and teardown print one after the other. */
static void hold_more(struct verdict_case *self, enum case_text which, struct cursor_text text,
                      size_t room)
{
    if (text.len == 0 || text.len > room)
        return;
    owned_mem char *before = self->texts[which];
    self->texts[which] = mem_printf("%s%.*s", before ? before : "", (int)text.len, text.data);
}

size_t verdict_case_bytes(const struct verdict_case *self)
{
    size_t bytes = 0;
    for (unsigned i = 0; i < CASE_TEXTS; i++)
        bytes += self->texts[i] ? strlen(self->texts[i]) : 0;
    return bytes;
}

static void note_progress(struct verdict_case *self, const struct record *phase)
{
    switch (phase->phase.when) {
    case RECORD_SETUP:
        self->setup_passed = phase->phase.outcome == RECORD_PASSED;
        if (!self->setup_passed)
            self->called = true;
        break;
    case RECORD_CALL:
        self->called = true;
        break;
    case RECORD_TEARDOWN:
        self->finished = true;
        break;
    case RECORD_SUBTEST:
    case RECORD_WHENS:
        break;
    }
}

void verdict_case_fold(struct verdict_case *self, const struct record *phase, size_t room)
{
    enum case_outcome outcome = outcome_of(phase);
    note_progress(self, phase);
    if (phase->phase.when != RECORD_SUBTEST)
        self->duration_us += phase->phase.duration_us;
    if (outcome > self->worst || !self->texts[CASE_MESSAGE]) {
        hold(self, CASE_MESSAGE, phase->phase.message, room);
        hold(self, CASE_LONGREPR, phase->phase.longrepr, room);
    }
    if (outcome > self->worst)
        self->worst = outcome;
    if (phase->phase.flags & RECORD_FLAG_RAISED)
        verdict_case_fail(self, "it raised an exception, and a hook reported that it passed");
    hold_more(self, CASE_OUT, phase->phase.captured_out, room);
    hold_more(self, CASE_ERR, phase->phase.captured_err, room);
}

bool verdict_case_is_complete(const struct verdict_case *self, bool ended)
{
    return self->called && (self->finished || ended);
}

void verdict_case_fail(struct verdict_case *self, const char *message)
{
    self->worst = CASE_ERROR;
    free(self->texts[CASE_MESSAGE]);
    self->texts[CASE_MESSAGE] = mem_strdup(message);
}

void verdict_case_count(enum case_outcome outcome, struct job_counts *counts)
{
    uint32_t *const counters[] = {&counts->passed,  &counts->skipped, &counts->xfailed,
                                  &counts->xpassed, &counts->failed,  &counts->errors};
    (*counters[outcome])++;
}

void verdict_case_write(const struct verdict_case *self, bool texts, struct buf *out)
{
    static const char *const keys[CASE_TEXTS] = {"message", "longrepr", "stdout", "stderr"};
    struct json_out json;
    json_out_init(&json, out);
    json_out_open_object(&json);
    json_out_key_str(&json, "test", self->id);
    json_out_key_str(&json, "outcome", case_outcome_name(self->worst));
    json_out_key_real(&json, "time", (double)self->duration_us / 1e6, 6);
    for (unsigned i = 0; texts && i < CASE_TEXTS; i++) {
        if (self->texts[i])
            json_out_key_str(&json, keys[i], self->texts[i]);
    }
    json_out_close_object(&json);
    buf_putc(out, '\n');
}

void verdict_case_fini(struct verdict_case *self)
{
    free(self->id);
    for (unsigned i = 0; i < CASE_TEXTS; i++)
        free(self->texts[i]);
}
