/* However a form is cut, the same parts come out, and what a form was made of comes out again: the
 * first byte chooses a cut; the rest is a body with the boundary "b", and also the data of a part.
 */
#include "tests/lib/http_transcript.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect_same(const struct buf *a, const struct buf *b)
{
    if (a->len != b->len || memcmp(buf_str(a), buf_str(b), a->len) != 0)
        abort();
}

static void check_cuts(const char *bytes, size_t len, size_t cut)
{
    struct transcript_cut cuts[] = {{.size = 1}, {.size = cut, .once = true}, {.size = 7}};
    owned_buf whole = BUF_INIT;
    transcript_multipart(&whole, "b", bytes, len, (struct transcript_cut){0});
    for (size_t i = 0; i < sizeof cuts / sizeof cuts[0]; i++) {
        owned_buf other = BUF_INIT;
        transcript_multipart(&other, "b", bytes, len, cuts[i]);
        expect_same(&other, &whole);
    }
}

/* A boundary that is not in the data, as a client draws one. */
static void check_round_trip(const char *bytes, size_t len, size_t cut)
{
    static const char boundary[] = "\r\n--------b0undary";
    owned_buf body = BUF_INIT;
    owned_buf got = BUF_INIT;
    owned_buf want = BUF_INIT;
    if (memmem(bytes, len, boundary, sizeof boundary - 1))
        return;
    buf_printf(&body, "%s\r\nContent-Disposition: form-data; name=n\r\n\r\n", boundary + 2);
    buf_append(&body, bytes, len);
    buf_printf(&body, "%s--\r\n", boundary);
    transcript_multipart(&got, boundary + 4, body.data, body.len,
                         (struct transcript_cut){.size = cut});
    buf_puts(&want, "part n file=- type=text/plain:");
    buf_append(&want, bytes, len);
    buf_puts(&want, "\nended\nwhole\n");
    expect_same(&got, &want);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    check_cuts((const char *)data + 1, size - 1, data[0]);
    check_round_trip((const char *)data + 1, size - 1, data[0]);
    return 0;
}
