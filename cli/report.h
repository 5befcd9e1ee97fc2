/* report: an evaluation in words and tables. Pure. */
#ifndef CLI_REPORT_H
#define CLI_REPORT_H

#include "cli/doc.h"
#include "proto/base/buf.h"

/* Appends the table of marks: one line a project, a line of totals, and what it means. `width` is
 * the terminal's, for cutting names; 0: no limit. */
void report_table(const struct doc *doc, size_t width, bool colour, struct buf *out);

/* Appends one line about a module that is done: "passed  calc  tests/test_a.py  12 passed  0.31 s".
 */
void report_module(const struct doc *doc, const struct doc_module *module, bool colour,
                   struct buf *out);

/* Appends one line about how the fetch of a project's repository goes. */
void report_fetch(const struct doc_project *project, bool colour, struct buf *out);

/* A test that did not pass. Borrowed texts; `message` may be NULL. */
struct report_failure {
    const char *project, *test, *outcome, *message;
};

/* Appends a line or two about it. */
void report_failure(const struct report_failure *failure, bool colour, struct buf *out);

/* Appends the line that says how it goes, at most `width` columns, without a line break. `tick`
 * turns the spinner. */
void report_status(const struct doc *doc, double elapsed_s, unsigned tick, size_t width,
                   struct buf *out);

#endif
