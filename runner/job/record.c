#include "runner/job/record.h"

/* A number below `bound`, as an enum's value. */
static unsigned read_choice(struct cursor *in, unsigned bound)
{
    uint64_t value;
    cursor_uint(in, bound - 1, &value);
    return (unsigned)value;
}

static void read_index(struct cursor *in, uint64_t *out) { cursor_uint(in, RECORD_INDEX_MAX, out); }

static void read_collected(struct cursor *in, struct record *out)
{
    struct cursor_text id;
    read_index(in, &out->collected.first);
    cursor_array(in, RECORD_BYTES_MAX, &out->collected.count);
    out->collected.ids = *in;
    for (size_t i = 0; i < out->collected.count; i++)
        cursor_str(in, RECORD_ID_MAX, &id);
}

static void read_phase(struct cursor *in, struct record *out)
{
    read_index(in, &out->phase.index);
    out->phase.when = (enum record_when)read_choice(in, RECORD_WHENS);
    out->phase.outcome = (enum record_outcome)read_choice(in, RECORD_OUTCOMES);
    cursor_uint(in, UINT64_MAX, &out->phase.duration_us);
    cursor_str(in, RECORD_MESSAGE_MAX, &out->phase.message);
    cursor_str(in, RECORD_LONGREPR_MAX, &out->phase.longrepr);
    cursor_str(in, RECORD_CAPTURED_MAX, &out->phase.captured_out);
    cursor_str(in, RECORD_CAPTURED_MAX, &out->phase.captured_err);
    cursor_uint(in, RECORD_FLAG_RAISED | RECORD_FLAG_NO_SPACE, &out->phase.flags);
}

static void read_problem(struct cursor *in, struct record *out)
{
    cursor_str(in, RECORD_ID_MAX, &out->problem.id);
    out->problem.outcome = (enum record_outcome)read_choice(in, RECORD_OUTCOMES);
    cursor_str(in, RECORD_MESSAGE_MAX, &out->problem.message);
    cursor_str(in, RECORD_LONGREPR_MAX, &out->problem.longrepr);
}

static void read_end(struct cursor *in, struct record *out)
{
    cursor_int(in, INT32_MIN, INT32_MAX, &out->end.exit_status);
    read_index(in, &out->end.collected);
    read_index(in, &out->end.reported);
    read_index(in, &out->end.deselected);
}

/* Returns how many fields follow number and kind. */
static size_t read_fields(struct cursor *in, struct record *out)
{
    switch (out->kind) {
    case RECORD_BEGIN:
        cursor_uint(in, UINT32_MAX, &out->begin.version);
        return 1;
    case RECORD_COLLECTED:
        read_collected(in, out);
        return 2;
    case RECORD_REMOVED:
        read_index(in, &out->removed.index);
        return 1;
    case RECORD_COUNTED:
        read_index(in, &out->counted.collected);
        read_index(in, &out->counted.deselected);
        return 2;
    case RECORD_PHASE:
        read_phase(in, out);
        return 9;
    case RECORD_PROBLEM:
        read_problem(in, out);
        return 4;
    case RECORD_INTERNAL:
        cursor_str(in, RECORD_LONGREPR_MAX, &out->internal.text);
        return 1;
    case RECORD_END:
        read_end(in, out);
        return 4;
    case RECORD_MODULE:
        cursor_str(in, RECORD_ID_MAX, &out->module.path);
        cursor_uint(in, UINT64_MAX, &out->module.bytes);
        return 2;
    case RECORD_BLOB:
        cursor_bin(in, RECORD_BLOB_MAX, &out->blob.piece);
        return 1;
    case RECORD_KINDS:
        break;
    }
    return 0;
}

bool record_decode(struct record *out, const void *packet, size_t len)
{
    struct cursor in;
    size_t fields;
    if (len > RECORD_BYTES_MAX)
        return false;
    cursor_init(&in, packet, len);
    if (!cursor_array(&in, 16, &fields))
        return false;
    *out = (struct record){0};
    cursor_uint(&in, UINT64_MAX - 1, &out->number);
    out->kind = (enum record_kind)read_choice(&in, RECORD_KINDS);
    return cursor_ok(&in) && fields == 2 + read_fields(&in, out) && cursor_done(&in);
}

void record_order_init(struct record_order *self) { *self = (struct record_order){0}; }

const char *record_order_take(struct record_order *self, const struct record *record)
{
    if (self->ended)
        return "a record behind the last one";
    if (record->number < self->next)
        return "a record came twice";
    if (record->number > self->next)
        return "records are missing";
    if ((record->kind == RECORD_BEGIN) != (record->number == 0))
        return "the first record is not the beginning";
    if (record->kind == RECORD_BEGIN && record->begin.version != RECORD_VERSION)
        return "records of another version";
    self->next++;
    self->ended = record->kind == RECORD_END;
    return NULL;
}
