#include "runner/intake/tar.h"

#include "proto/base/mem.h"
#include "runner/intake/intake.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define AT_NAME    0u
#define NAME_BYTES 100u
#define AT_MODE    100u
#define AT_SIZE    124u
#define AT_SUM     148u
#define AT_TYPE    156u
#define AT_LINK    157u
#define AT_MAGIC   257u

#define SIZE_MAX_TAR (UINT64_C(1) << 33)

struct head {
    const char *name;
    const char *link;
    char type;
    unsigned mode;
    uint64_t size;
};

/* Fields of 8 bytes hold 7 octal digits and a zero, those of 12 hold 11. */
static void put_block(struct buf *out, const struct head *head)
{
    char *block = buf_reserve(out, TAR_BLOCK);
    memset(block, 0, TAR_BLOCK);
    memcpy(block + AT_NAME, head->name, strnlen(head->name, NAME_BYTES));
    memcpy(block + AT_LINK, head->link, strnlen(head->link, NAME_BYTES));
    snprintf(block + AT_MODE, 8, "%07o", head->mode & 07777777u);
    memcpy(block + 108, "0000000", 8); /* owner, group */
    memcpy(block + 116, "0000000", 8);
    snprintf(block + AT_SIZE, 12, "%011" PRIo64, head->size);
    snprintf(block + 136, 12, "%011o", (unsigned)INTAKE_MTIME);
    block[AT_TYPE] = head->type;
    memcpy(block + AT_MAGIC, "ustar\00000", 8);
    memset(block + AT_SUM, ' ', 8);
    unsigned sum = 0;
    for (size_t i = 0; i < TAR_BLOCK; i++)
        sum += (unsigned char)block[i];
    snprintf(block + AT_SUM, 7, "%06o", sum & 0777777u);
    buf_added(out, TAR_BLOCK);
}

static void put_zeros(struct buf *out, size_t len)
{
    memset(buf_reserve(out, len), 0, len);
    buf_added(out, len);
}

/* A record's length counts its own digits. */
static void put_record(struct buf *out, const char *key, const char *value)
{
    size_t rest = strlen(key) + strlen(value) + 3;
    size_t digits = 1;
    for (size_t bound = 10; rest + digits >= bound; bound *= 10)
        digits++;
    buf_printf(out, "%zu %s=%s\n", rest + digits, key, value);
}

void tar_put_head(struct buf *out, const struct tar_item *item)
{
    assert(item->kind != ARCHIVE_SPECIAL && item->size_bytes < SIZE_MAX_TAR);
    char name[ARCHIVE_PATH_MAX + 2];
    snprintf(name, sizeof name, "%s%s", item->path, item->kind == ARCHIVE_FOLDER ? "/" : "");
    owned_buf records = BUF_INIT;
    if (strlen(item->target) > NAME_BYTES)
        put_record(&records, "linkpath", item->target);
    if (strlen(name) > NAME_BYTES)
        put_record(&records, "path", name);
    if (records.len > 0) {
        put_block(out, &(struct head){"pax", "", 'x', 0644, records.len});
        buf_append(out, records.data, records.len);
        put_zeros(out, tar_padding(records.len));
    }
    struct head head = {.name = name, .link = item->target, .type = '0', .mode = 0644};
    if (item->kind == ARCHIVE_FOLDER)
        head.type = '5';
    else if (item->kind == ARCHIVE_LINK)
        head.type = '2';
    else
        head.size = item->size_bytes;
    if (item->kind == ARCHIVE_FOLDER || (item->kind == ARCHIVE_FILE && item->executable))
        head.mode = 0755;
    if (item->kind == ARCHIVE_LINK)
        head.mode = 0777;
    put_block(out, &head);
}

void tar_put_end(struct buf *out) { put_zeros(out, (size_t)2 * TAR_BLOCK); }

static int corrupt(struct err *err, const char *what)
{
    return err_set(err, ERR_CORRUPT, "the bundle is damaged: %s", what);
}

/* Reads an octal field of `digits`; anything else shows when the header is written again. */
static uint64_t octal(const char *at, size_t digits)
{
    uint64_t value = 0;
    for (size_t i = 0; i < digits; i++)
        value = value << 3 | ((unsigned)at[i] & 7u);
    return value;
}

/* Takes "N key=value\n" from the front of `text`. Returns the value's length, -1 when it is not
 * there. */
static ssize_t take_record(const char **text, const char *end, const char *key, char *value,
                           size_t value_max)
{
    size_t left = (size_t)(end - *text);
    size_t len = 0;
    size_t at = 0;
    while (at < left && at < 5 && (*text)[at] >= '0' && (*text)[at] <= '9')
        len = len * 10 + (size_t)((*text)[at++] - '0');
    size_t head = at + 1 + strlen(key) + 1;
    if (len > left || len < head + 1 || memcmp(*text + at + 1, key, strlen(key)) != 0)
        return -1;
    size_t value_len = len - head - 1;
    if (value_len > value_max)
        return -1;
    memcpy(value, *text + head, value_len);
    value[value_len] = '\0';
    *text += len;
    return (ssize_t)value_len;
}

/* Reads the records behind a pax header, and the block behind those into the end of `seen`. */
static int get_pax(struct tar_item *item, char *name, const struct tar_source *source,
                   struct buf *seen, struct err *err)
{
    uint64_t len = octal(seen->data + AT_SIZE, 11);
    if (len == 0 || len > TAR_PAX_MAX)
        return corrupt(err, "an extended header has a wrong length");
    size_t whole = (size_t)len + tar_padding(len) + TAR_BLOCK;
    int rc = source->read(source->arg, buf_reserve(seen, whole), whole, err);
    if (rc)
        return rc;
    buf_added(seen, whole);
    const char *text = seen->data + TAR_BLOCK;
    const char *end = text + len;
    ssize_t link = take_record(&text, end, "linkpath", item->target, ARCHIVE_LINK_MAX);
    ssize_t path = take_record(&text, end, "path", name, ARCHIVE_PATH_MAX + 1);
    if (text != end || (link < 0 && path < 0))
        return corrupt(err, "an extended header makes no sense");
    return 0;
}

static int get_item(struct tar_item *item, const char *name, const char *block, struct err *err)
{
    size_t len = strlen(name);
    item->executable = block[AT_MODE + 4] == '7';
    item->size_bytes = octal(block + AT_SIZE, 11);
    switch (block[AT_TYPE]) {
    case '0':
        item->kind = ARCHIVE_FILE;
        break;
    case '2':
        item->kind = ARCHIVE_LINK;
        item->executable = false;
        break;
    case '5':
        item->kind = ARCHIVE_FOLDER;
        item->executable = false;
        if (len == 0 || name[len - 1] != '/')
            return corrupt(err, "a folder is not named as one");
        len--;
        break;
    default:
        return corrupt(err, "an entry is of an unknown kind");
    }
    if (len > ARCHIVE_PATH_MAX || item->size_bytes >= SIZE_MAX_TAR)
        return corrupt(err, "an entry is too large");
    memcpy(item->path, name, len);
    item->path[len] = '\0';
    return 0;
}

static int get_end(const struct tar_source *source, const char *first, struct err *err)
{
    char block[2 * TAR_BLOCK];
    memcpy(block, first, TAR_BLOCK);
    int rc = source->read(source->arg, block + TAR_BLOCK, TAR_BLOCK, err);
    if (rc)
        return rc;
    for (size_t i = 0; i < sizeof block; i++)
        if (block[i])
            return corrupt(err, "its end is no end");
    return 0;
}

int tar_get_head(struct tar_item *item, const struct tar_source *source, struct err *err)
{
    *item = (struct tar_item){0};
    owned_buf seen = BUF_INIT;
    int rc = source->read(source->arg, buf_reserve(&seen, TAR_BLOCK), TAR_BLOCK, err);
    if (rc)
        return rc;
    buf_added(&seen, TAR_BLOCK);
    if (seen.data[0] == '\0')
        return get_end(source, seen.data, err);
    char name[ARCHIVE_PATH_MAX + 2] = "";
    if (seen.data[AT_TYPE] == 'x' && (rc = get_pax(item, name, source, &seen, err)))
        return rc;
    const char *block = seen.data + seen.len - TAR_BLOCK;
    if (name[0] == '\0')
        memcpy(name, block + AT_NAME, NAME_BYTES);
    if (item->target[0] == '\0')
        memcpy(item->target, block + AT_LINK, NAME_BYTES);
    if ((rc = get_item(item, name, block, err)))
        return rc;
    owned_buf again = BUF_INIT;
    tar_put_head(&again, item);
    if (again.len != seen.len || memcmp(again.data, seen.data, seen.len) != 0)
        return corrupt(err, "a header is not in the form that bundles have");
    return 1;
}
