#include "node/eval/status_words.h"

#include <inttypes.h>
#include <string.h>

static enum status_state say(enum status_state state, const char *text, struct buf *words)
{
    buf_puts(words, text);
    return state;
}

/* The first line of a message, which says it mostly. */
static enum status_state say_message(const char *before, const char *message, struct buf *words)
{
    size_t len = message ? strcspn(message, "\r\n") : 0;
    buf_puts(words, before);
    if (len > 0) {
        buf_puts(words, ": ");
        buf_append(words, message, len);
    }
    return STATUS_ERROR;
}

/* A mark has five decimals at most; people read two. */
static void put_mark(uint32_t nota_e5, struct buf *words)
{
    uint32_t hundredths = (nota_e5 + 500) / 1000;
    buf_printf(words, "%u", hundredths / 100);
    if (hundredths % 100 != 0)
        buf_printf(words, hundredths % 10 ? ".%02u" : ".%u",
                   hundredths % 10 ? hundredths % 100 : hundredths % 100 / 10);
    buf_puts(words, "/20");
}

enum status_state status_words(const struct summary_project *project, struct status_stand stand,
                               struct buf *words)
{
    uint64_t good = summary_good(&project->tally);
    uint64_t all = good + summary_bad(&project->tally);
    if (!stand.is_complete)
        return stand.is_cancelled ? say(STATUS_ERROR, "cancelled", words)
                                  : say(STATUS_PENDING, "the tests are to run", words);
    if (!project->has_nota)
        return say_message("not the tests' fault, no mark", project->message, words);
    if (project->outcome == DOC_SETUP_FAILED)
        return say_message("could not be run", project->message, words);
    if (all == 0)
        return say(STATUS_ERROR, "no tests", words);
    put_mark(project->marks.nota_e5, words);
    buf_printf(words, ", %" PRIu64 " of %" PRIu64 " passed", good, all);
    return good == all ? STATUS_SUCCESS : STATUS_FAILURE;
}
