/* A member of the mesh that is played by hand: it has the key, and may do what no node would. */
#ifndef TESTS_NET_HAND_H
#define TESTS_NET_HAND_H

#include "proto/wire/link.h"
#include "tests/it/net/world.h"

struct hand {
    int fd;
    struct link *link;
    size_t bodies;
    enum wire_kind last;
    uint16_t reason;
    bool ended;
};

static inline void hand_flush(struct hand *self, struct buf *out)
{
    if (out->len > 0)
        raw_send(self->fd, out->data, out->len);
    buf_fini(out);
}

static inline struct hand hand_connect(const struct node *to)
{
    struct keys keys;
    struct buf out = BUF_INIT;
    struct link_config config = {.keys = &keys, .cluster = "school", .caller = true};
    keys_from_name("school", &keys);
    rand_system(config.nonce, sizeof config.nonce);
    struct hand self = {.fd = raw_connect(&to->addr), .link = link_new(&config, &out)};
    hand_flush(&self, &out);
    return self;
}

static inline struct hand hand_accept(int listener)
{
    struct keys keys;
    struct buf out = BUF_INIT;
    struct link_config config = {.keys = &keys, .cluster = "school"};
    keys_from_name("school", &keys);
    rand_system(config.nonce, sizeof config.nonce);
    struct hand self = {.fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)};
    assert_true(self.fd >= 0);
    self.link = link_new(&config, &out);
    hand_flush(&self, &out);
    return self;
}

static inline void hand_send(struct hand *self, const struct wire_msg *msg)
{
    struct buf out = BUF_INIT;
    link_send(self->link, msg, &out);
    hand_flush(self, &out);
}

/* Reads what is there. Returns true, to be waited with. */
static inline bool hand_read(struct hand *self)
{
    uint8_t bytes[65536];
    ssize_t len;
    struct buf out = BUF_INIT;
    while ((len = recv(self->fd, bytes, sizeof bytes, 0)) > 0) {
        assert_int_equal(link_read(self->link, bytes, (size_t)len, &out), LINK_OK);
        struct wire_bytes body;
        while (link_next(self->link, &body)) {
            struct err err = ERR_INIT;
            owned_wire_msg msg = {.kind = WIRE_UNKNOWN};
            self->bodies++;
            if (wire_decode(body.data, body.len, &msg, &err))
                continue;
            self->last = msg.kind;
            if (msg.kind == WIRE_BYE)
                self->reason = msg.bye.reason;
            if (msg.kind == WIRE_ERR)
                self->reason = msg.error.code;
        }
    }
    hand_flush(self, &out);
    self->ended = self->ended || len == 0 || (len < 0 && errno != EAGAIN);
    return true;
}

static inline struct wire_msg hello_of(uint8_t number)
{
    struct wire_msg msg = {
        .kind = WIRE_HELLO,
        .hello = {.gen = 1, .boot = 7, .pv = WIRE_VERSIONS, .name = "hand", .cluster = "school"}};
    memset(msg.hello.node.bytes, number, sizeof msg.hello.node.bytes);
    return msg;
}

static inline void hand_free(struct hand *self)
{
    link_free(self->link);
    close(self->fd);
}

/* A member of number 9 with a link to the node. */
static inline struct hand hand_link(struct node *to)
{
    struct hand hand = hand_connect(to);
    until(hand_read(&hand) && link_is_open(hand.link));
    struct wire_msg hello = hello_of(9);
    hand_send(&hand, &hello);
    until(hand_read(&hand) && hand.last == WIRE_HELLO);
    until(to->ups == 1);
    return hand;
}

#endif
