/* follow: waits for an evaluation and shows how it goes. */
#ifndef CLI_FOLLOW_H
#define CLI_FOLLOW_H

#include "cli/doc.h"
#include "cli/http.h"

#include <stdbool.h>
#include <stdint.h>

struct follow_options {
    const char *id;
    uint64_t timeout_ms; /* 0: none */
    double fail_under;   /* percent, below 0: all tests must pass */
    bool json;           /* the last document on standard output, progress on a terminal only */
};

/* Waits until the evaluation is final, or the time is over, or the user interrupts. Shows failures
 * when they happen and again at the end, then the table of marks. Returns the exit code. */
int follow_evaluation(struct http_client *http, const struct follow_options *options);

/* Whether SIGINT or SIGTERM has come since follow_catch_signals(). */
bool follow_interrupted(void);
void follow_catch_signals(void);

#endif
