#include "proto/base/log.h"

#include "proto/base/buf.h"
#include "proto/base/clock.h"
#include "proto/base/json.h"
#include "proto/base/mem.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define SECRETS_MAX      16
#define SECRET_MIN_CHARS 8
#define LINE_MAX_BYTES   8192

static struct {
    pthread_mutex_t lock;
    enum log_level level;
    bool json;
    bool is_set;
    char *secrets[SECRETS_MAX];
    size_t secret_count;
} logger = {.lock = PTHREAD_MUTEX_INITIALIZER, .level = LOG_LEVEL_INFO};

static const char *const level_names[] = {"debug", "info", "warn", "error"};

void log_setup(enum log_level level, bool json)
{
    logger.level = level;
    logger.json = json;
    logger.is_set = true;
}

void log_redact(const char *secret)
{
    if (strlen(secret) < SECRET_MIN_CHARS || logger.secret_count == SECRETS_MAX)
        return;
    logger.secrets[logger.secret_count++] = mem_strdup(secret);
}

static void redact(char *text)
{
    for (size_t i = 0; i < logger.secret_count; i++) {
        size_t len = strlen(logger.secrets[i]);
        for (char *at = text; (at = strstr(at, logger.secrets[i])) != NULL; at += len)
            memset(at, '*', len);
    }
}

static void format_line(struct buf *line, enum log_level level, const char *event, const char *text)
{
    char when[CLOCK_TEXT];
    clock_format(clock_wall_ms(), when);
    if (!logger.json) {
        buf_printf(line, "%.12s %-5s %s %s\n", when + 11, level_names[level], event, text);
        return;
    }
    struct json_out out;
    json_out_init(&out, line);
    json_out_open_object(&out);
    json_out_key_str(&out, "ts", when);
    json_out_key_str(&out, "level", level_names[level]);
    json_out_key_str(&out, "event", event);
    json_out_key_str(&out, "msg", text);
    json_out_close_object(&out);
    buf_putc(line, '\n');
}

void log_line(enum log_level level, const char *event, const char *fmt, ...)
{
    if (level < logger.level)
        return;
    char text[LINE_MAX_BYTES];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    owned_buf line = BUF_INIT;
    pthread_mutex_lock(&logger.lock);
    if (!logger.is_set)
        log_setup(logger.level, !isatty(2));
    redact(text);
    for (char *at = text; *at; at++)
        if (!logger.json && (unsigned char)*at < 0x20)
            *at = ' ';
    format_line(&line, level, event, text);
    ssize_t ignored = write(2, line.data, line.len);
    (void)ignored;
    pthread_mutex_unlock(&logger.lock);
}
