/* status_words: what a git host is told of one project, from its summary. Pure. */
#ifndef NODE_EVAL_STATUS_WORDS_H
#define NODE_EVAL_STATUS_WORDS_H

#include "node/store/summary.h"
#include "runner/git/status.h"

/* How a project stands: nothing more is to come of it, or somebody called it off. */
struct status_stand {
    bool is_complete;
    bool is_cancelled;
};

/* Returns the state, and appends a few words: "17.5/20, 35 of 40 passed". */
enum status_state status_words(const struct summary_project *project, struct status_stand stand,
                               struct buf *words);

#endif
