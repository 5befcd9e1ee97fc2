#include "node/store/disk.h"

#include "proto/base/mem.h"

#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/eventfd.h>

struct list {
    struct disk_job *first;
    struct disk_job **end;
};

struct disk {
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    struct list waiting;  /* under the mutex */
    struct list finished; /* under the mutex */
    bool stopping;        /* under the mutex */
    size_t outstanding;   /* the loop's: submitted and not yet handed back */
    struct segments *log; /* the thread's */
    struct event *event;
    int eventfd;
};

static void list_init(struct list *self) { *self = (struct list){.end = &self->first}; }

static void list_add(struct list *self, struct disk_job *job)
{
    job->next = NULL;
    *self->end = job;
    self->end = &job->next;
}

static struct disk_job *list_take_all(struct list *self)
{
    struct disk_job *first = self->first;
    self->first = NULL;
    self->end = &self->first;
    return first;
}

/* ---- in the thread --------------------------------------------------------------------------- */

/* More than this is not put into one write. */
#define BATCH_BYTES (4u << 20)

static void hand_back(struct disk *self, struct disk_job *first, const struct disk_job *behind)
{
    pthread_mutex_lock(&self->mutex);
    while (first != behind) {
        struct disk_job *next = first->next;
        list_add(&self->finished, first);
        first = next;
    }
    pthread_mutex_unlock(&self->mutex);
    uint64_t one = 1;
    while (write(self->eventfd, &one, sizeof one) < 0 && errno == EINTR)
        ;
}

/* Does what stands at the front of the list in one go. Returns what follows. */
static struct disk_job *run_some(struct disk *self, struct disk_job *first)
{
    if (first->run) {
        struct disk_job *next = first->next;
        first->run(first, self->log);
        hand_back(self, first, next);
        return next;
    }
    owned_buf batch = BUF_INIT;
    struct disk_job *behind = first;
    for (; behind && !behind->run && batch.len < BATCH_BYTES; behind = behind->next)
        buf_append(&batch, behind->line.data, behind->line.len);
    struct err err = ERR_INIT;
    if (segments_append(self->log, batch.data, batch.len, &err))
        for (struct disk_job *job = first; job != behind; job = job->next)
            job->err = err;
    hand_back(self, first, behind);
    return behind;
}

static void *thread_main(void *arg)
{
    struct disk *self = arg;
    pthread_mutex_lock(&self->mutex);
    for (;;) {
        struct disk_job *jobs = list_take_all(&self->waiting);
        if (jobs) {
            pthread_mutex_unlock(&self->mutex);
            while (jobs)
                jobs = run_some(self, jobs);
            pthread_mutex_lock(&self->mutex);
        } else if (self->stopping) {
            pthread_mutex_unlock(&self->mutex);
            return NULL;
        } else {
            pthread_cond_wait(&self->wake, &self->mutex);
        }
    }
}

/* ---- on the loop ----------------------------------------------------------------------------- */

static void finish_jobs(struct disk *self)
{
    uint64_t count;
    (void)!read(self->eventfd, &count, sizeof count); /* may have been taken by disk_flush() */
    pthread_mutex_lock(&self->mutex);
    struct disk_job *jobs = list_take_all(&self->finished);
    pthread_mutex_unlock(&self->mutex);
    while (jobs) {
        struct disk_job *next = jobs->next;
        assert(self->outstanding > 0);
        self->outstanding--;
        jobs->done(jobs);
        jobs = next;
    }
}

static void on_finished(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    finish_jobs(arg);
}

/* The loop's thread alone is to get signals. */
static int start_thread(struct disk *self)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&self->thread, NULL, thread_main, self);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc;
}

static void free_disk(struct disk *self)
{
    if (self->event)
        event_free(self->event);
    if (self->eventfd >= 0)
        close(self->eventfd);
    pthread_cond_destroy(&self->wake);
    pthread_mutex_destroy(&self->mutex);
    free(self);
}

struct disk *disk_start(struct event_base *base, struct segments *log, struct err *err)
{
    struct disk *self = mem_new(sizeof *self);
    self->log = log;
    list_init(&self->waiting);
    list_init(&self->finished);
    pthread_mutex_init(&self->mutex, NULL);
    pthread_cond_init(&self->wake, NULL);
    self->eventfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (self->eventfd >= 0)
        self->event = event_new(base, self->eventfd, EV_READ | EV_PERSIST, on_finished, self);
    if (!self->event || event_add(self->event, NULL) || start_thread(self)) {
        free_disk(self);
        err_set(err, ERR_UNAVAILABLE, "start the disk thread: %m");
        return NULL;
    }
    return self;
}

void disk_submit(struct disk *self, struct disk_job *job)
{
    self->outstanding++;
    pthread_mutex_lock(&self->mutex);
    assert(!self->stopping);
    list_add(&self->waiting, job);
    pthread_cond_signal(&self->wake);
    pthread_mutex_unlock(&self->mutex);
}

size_t disk_outstanding(const struct disk *self) { return self->outstanding; }

void disk_flush(struct disk *self)
{
    while (self->outstanding > 0) {
        struct pollfd ready = {.fd = self->eventfd, .events = POLLIN};
        (void)poll(&ready, 1, -1);
        finish_jobs(self);
    }
}

void disk_stop(struct disk *self)
{
    disk_flush(self);
    pthread_mutex_lock(&self->mutex);
    self->stopping = true;
    pthread_cond_signal(&self->wake);
    pthread_mutex_unlock(&self->mutex);
    pthread_join(self->thread, NULL);
    free_disk(self);
}
