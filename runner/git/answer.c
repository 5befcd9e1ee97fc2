#include "runner/git/answer.h"

#include <string.h>

#define NOT_GIT(...) err_refuse(err, ERR_UNPROCESSABLE, "repo-not-git", __VA_ARGS__)
#define WORDS_MAX    ((size_t)1000) /* of a line that is not the pack's */

void answer_init(struct answer *self, bool is_shallow)
{
    *self =
        (struct answer){.place = is_shallow ? ANSWER_SHALLOW : ANSWER_NAK, .band = ANSWER_NO_BAND};
}

void answer_fini(struct answer *self) { buf_fini(&self->line); }

/* The server's words are a stranger's: control characters and line ends become blanks. */
static char *words(struct buf *line)
{
    for (size_t i = 0; i < line->len; i++)
        if ((unsigned char)line->data[i] < 0x20 || line->data[i] == 0x7f)
            line->data[i] = ' ';
    while (line->len > 0 && line->data[line->len - 1] == ' ')
        line->data[--line->len] = '\0';
    return line->data ? line->data : (char *)"";
}

static int refuse_words(struct answer *self, size_t skip, struct err *err)
{
    const char *said = words(&self->line);
    said += strlen(said) < skip ? strlen(said) : skip;
    if (strstr(said, "not our ref") || strstr(said, "unadvertised"))
        return err_refuse(err, ERR_UNPROCESSABLE, "repo-commit",
                          "the repository has no such commit");
    return err_refuse(err, ERR_UNAVAILABLE, "repo-unreachable", "the server gave up: %.200s", said);
}

static int take_line(struct answer *self, struct err *err)
{
    const char *line = buf_str(&self->line);
    if (strncmp(line, "ERR ", 4) == 0)
        return refuse_words(self, 4, err);
    if (self->place == ANSWER_SHALLOW &&
        (strncmp(line, "shallow ", 8) == 0 || strncmp(line, "unshallow ", 10) == 0))
        return 0;
    if (self->place != ANSWER_NAK || strncmp(line, "NAK", 3) != 0)
        return NOT_GIT("the server's answer makes no sense");
    self->place = ANSWER_BANDS;
    return 0;
}

static void keep(struct answer *self, const char *bytes, size_t len)
{
    size_t room = WORDS_MAX - self->line.len;
    buf_append(&self->line, bytes, len < room ? len : room);
}

/* A piece of a packet of one of the three bands, whose first byte says which. */
static int take_band(struct answer *self, const struct pkt_out *piece, struct answer_out *out,
                     struct err *err)
{
    const char *data = piece->data;
    size_t len = piece->data_len;
    if (self->band == ANSWER_NO_BAND && len > 0) {
        self->band = (unsigned char)*data++;
        len--;
    }
    if (self->band == 1) {
        out->data = data;
        out->data_len = len;
    } else if (self->band == 3) {
        keep(self, data, len);
    } else if (self->band != 2 && self->band != ANSWER_NO_BAND) {
        return NOT_GIT("the server's answer makes no sense");
    }
    if (!piece->is_last)
        return 0;
    int band = self->band;
    self->band = ANSWER_NO_BAND;
    return band == 3 ? refuse_words(self, 0, err) : 0;
}

static int take_piece(struct answer *self, const struct pkt_out *piece, struct answer_out *out,
                      struct err *err)
{
    if (self->place == ANSWER_END)
        return NOT_GIT("the server's answer goes on behind its end");
    if (self->place == ANSWER_BANDS)
        return take_band(self, piece, out, err);
    keep(self, piece->data, piece->data_len);
    if (!piece->is_last)
        return 0;
    int rc = take_line(self, err);
    buf_clear(&self->line);
    return rc;
}

static int take_flush(struct answer *self, struct err *err)
{
    if (self->place == ANSWER_SHALLOW)
        self->place = ANSWER_NAK;
    else if (self->place == ANSWER_BANDS)
        self->place = ANSWER_END;
    else
        return NOT_GIT("the server's answer makes no sense");
    return 0;
}

int answer_step(struct answer *self, const char *bytes, size_t len, struct answer_out *out,
                struct err *err)
{
    *out = (struct answer_out){0};
    int rc = 0;
    while (!rc && out->data_len == 0) {
        struct pkt_out piece;
        pkt_step(&self->lines, bytes + out->used, len - out->used, &piece);
        out->used += piece.used;
        if (piece.event == PKT_MORE)
            return 0;
        if (piece.event == PKT_BAD)
            return NOT_GIT("the answer is not a git server's");
        rc = piece.event == PKT_FLUSH ? take_flush(self, err) : take_piece(self, &piece, out, err);
    }
    return rc;
}

int answer_end(const struct answer *self, struct err *err)
{
    if (self->place == ANSWER_END && pkt_is_between(&self->lines))
        return 0;
    return err_refuse(err, ERR_UNAVAILABLE, "repo-unreachable", "the pack ends in its middle");
}
