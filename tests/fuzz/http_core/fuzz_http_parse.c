/* However the bytes of a connection are cut, the same requests are understood. The first byte
 * chooses a cut. */
#include "tests/lib/http_transcript.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    const char *bytes = (const char *)data + 1;
    struct transcript_cut cuts[] = {{.size = 1}, {.size = data[0], .once = true}, {.size = 7}};
    owned_buf whole = BUF_INIT;
    transcript_http(&whole, bytes, size - 1, (struct transcript_cut){0});
    for (size_t i = 0; i < sizeof cuts / sizeof cuts[0]; i++) {
        owned_buf other = BUF_INIT;
        transcript_http(&other, bytes, size - 1, cuts[i]);
        if (other.len != whole.len || memcmp(buf_str(&other), buf_str(&whole), whole.len) != 0)
            abort();
    }
    return 0;
}
