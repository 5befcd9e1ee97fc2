/* log: one line an event, on standard error.
 *
 *     log_info("eval_done", "id=%s modules=%zu", id, count);
 *
 * On a terminal a line reads "14:07:00.123 info  eval_done id=… modules=…"; elsewhere it is a JSON
 * object with ts, level, event and msg. Secrets that were named with log_redact() are replaced
 * before a line leaves the process. Not for use in signal handlers. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR };

/* Lines below `level` are dropped. `json` chooses the form. Default: info, by what stderr is. */
void log_setup(enum log_level level, bool json);

/* Copies a secret of at least 8 characters that must never be logged; at most 16 are kept. */
void log_redact(const char *secret);

void log_line(enum log_level level, const char *event, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#define log_debug(event, ...) log_line(LOG_LEVEL_DEBUG, event, __VA_ARGS__)
#define log_info(event, ...)  log_line(LOG_LEVEL_INFO, event, __VA_ARGS__)
#define log_warn(event, ...)  log_line(LOG_LEVEL_WARN, event, __VA_ARGS__)
#define log_error(event, ...) log_line(LOG_LEVEL_ERROR, event, __VA_ARGS__)

#endif
