/* What the cursor accepts whole, msgpack-c reads too, of the same length and with the same values.
 */
#include "proto/base/cursor.h"

#include <msgpack.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(bool ok)
{
    if (!ok)
        abort();
}

static void compare(struct cursor *in, const msgpack_object *object);

static void compare_items(struct cursor *in, const msgpack_object *object)
{
    size_t count;
    expect(cursor_array(in, SIZE_MAX, &count) && count == object->via.array.size);
    for (size_t i = 0; i < count; i++)
        compare(in, &object->via.array.ptr[i]);
}

static void compare_pairs(struct cursor *in, const msgpack_object *object)
{
    size_t count;
    expect(cursor_map(in, SIZE_MAX, &count) && count == object->via.map.size);
    for (size_t i = 0; i < count; i++) {
        compare(in, &object->via.map.ptr[i].key);
        compare(in, &object->via.map.ptr[i].val);
    }
}

static void compare_text(struct cursor *in, const char *data, size_t len, bool binary)
{
    struct cursor_text text;
    expect(binary ? cursor_bin(in, len, &text) : cursor_str(in, len, &text));
    expect(text.len == len && (len == 0 || memcmp(text.data, data, len) == 0));
}

static void compare_real(struct cursor *in, double value)
{
    double real;
    expect(cursor_real(in, &real));
    expect(memcmp(&real, &value, sizeof(real)) == 0 || (real != real && value != value));
}

static void compare(struct cursor *in, const msgpack_object *object)
{
    uint64_t number;
    int64_t negative;
    bool truth;
    switch (object->type) {
    case MSGPACK_OBJECT_NIL:
        expect(cursor_nil(in));
        break;
    case MSGPACK_OBJECT_BOOLEAN:
        expect(cursor_bool(in, &truth) && truth == object->via.boolean);
        break;
    case MSGPACK_OBJECT_POSITIVE_INTEGER:
        expect(cursor_uint(in, UINT64_MAX, &number) && number == object->via.u64);
        break;
    case MSGPACK_OBJECT_NEGATIVE_INTEGER:
        expect(cursor_int(in, INT64_MIN, -1, &negative) && negative == object->via.i64);
        break;
    case MSGPACK_OBJECT_FLOAT32:
    case MSGPACK_OBJECT_FLOAT64:
        compare_real(in, object->via.f64);
        break;
    case MSGPACK_OBJECT_STR:
        compare_text(in, object->via.str.ptr, object->via.str.size, false);
        break;
    case MSGPACK_OBJECT_BIN:
        compare_text(in, object->via.bin.ptr, object->via.bin.size, true);
        break;
    case MSGPACK_OBJECT_ARRAY:
        compare_items(in, object);
        break;
    case MSGPACK_OBJECT_MAP:
        compare_pairs(in, object);
        break;
    case MSGPACK_OBJECT_EXT:
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 65536 || !cursor_check(data, size))
        return 0;
    msgpack_unpacked out;
    msgpack_unpacked_init(&out);
    size_t offset = 0;
    expect(msgpack_unpack_next(&out, (const char *)data, size, &offset) == MSGPACK_UNPACK_SUCCESS);
    expect(offset == size);
    struct cursor in;
    cursor_init(&in, data, size);
    compare(&in, &out.data);
    expect(cursor_done(&in));
    msgpack_unpacked_destroy(&out);
    return 0;
}
