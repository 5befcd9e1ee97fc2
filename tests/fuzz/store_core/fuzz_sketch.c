/* Whatever a sketch says: the answer is made of pieces of the document, and a sketch of the
 * document itself needs no answer. */
#include "node/store/doc_sketch.h"
#include "tests/unit/store_core/random_doc.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static struct doc *whole;

static void make_whole(void)
{
    struct rand rand;
    rand_init(&rand, 11);
    whole = doc_new(RANDOM_ID);
    for (int i = 0; i < 60; i++)
        random_step(&rand, whole);
}

static void refuse_piece(void *arg, const struct delta *piece)
{
    (void)arg;
    (void)piece;
    abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    if (!whole)
        make_whole();
    owned_doc *got = doc_new(RANDOM_ID);
    doc_sketch_split(whole, bytes, len, join_piece, got);
    owned_doc *both = joined(whole, got);
    if (both->digest != whole->digest)
        abort();
    owned_buf sketch = BUF_INIT;
    doc_sketch_encode(whole, &sketch);
    doc_sketch_split(whole, sketch.data, sketch.len, refuse_piece, NULL);
    return 0;
}
