/* mesh_inner: what the files of the mesh share.
 *
 * A machine's effects often are another machine's event. They are not given to it at once, from
 * within the first one's list, but noted, and taken in turn: so that no machine is stepped while a
 * step of it is being acted upon. What the notes borrow lives in lists that are kept to the end of
 * the mesh's step. */
#ifndef NODE_MESH_MESH_INNER_H
#define NODE_MESH_MESH_INNER_H

#include "loadbalance/agent.h"
#include "loadbalance/queue.h"
#include "node/mesh/mesh.h"
#include "node/store/arena.h"
#include "node/sync/sync.h"

#include <string.h>

/* How often the queue is told of everybody's load while there is something to give out. */
#define MESH_LOAD_MS 1000

/* Frames that wait for their document; more are dropped, and sent again by who wants something. */
#define MESH_DEFERRED_MAX   256
#define MESH_DEFERRED_BYTES (256u << 10) /* of one; the longest list of work has half of that */

/* Tokens that the mesh made itself, for questions and fetches of its own. */
#define MESH_OWN_TOKEN (UINT64_C(1) << 63)

enum note_kind { NOTE_SWIM, NOTE_OWN, NOTE_QUEUE, NOTE_AGENT, NOTE_SYNC };

struct note {
    enum note_kind kind;
    union {
        struct swim_event swim;
        struct own_event own;
        struct queue_event queue;
        struct agent_event agent;
        struct sync_event sync;
    };
};

enum append_for {
    APPEND_FOR_OWN,
    APPEND_FOR_SYNC,
    APPEND_FOR_RESULT, /* a peer's: to be confirmed */
    APPEND_FOR_END,    /* of an attempt here: to be told to its owner */
    APPEND_FOR_CLONE,  /* a source that was found here */
    APPEND_FOR_ADOPT,  /* sources that were found by another owner, under our ballot */
    APPEND_FOR_NOBODY, /* nothing hangs on it */
};

/* How an attempt ended. */
struct ending {
    uint64_t peer; /* its executor; 0: this node */
    struct work work;
    enum work_end end;
    enum work_blame blame;
    uint32_t took_ms;
};

struct append {
    uint64_t token;
    enum append_for who;
    uint64_t inner;       /* the asker's token */
    struct delta delta;   /* owned */
    struct ending ending; /* of what left it: APPEND_FOR_RESULT, APPEND_FOR_END */
    struct append *next;
};

/* A chore whose bundles are on their way, or blobs that own wants (work.eval 0). */
struct fetch {
    uint64_t token;
    uint64_t inner;
    struct work work;
    bool is_unwanted;
    bool is_submission; /* see submit.c */
    bool is_clone;      /* see clone.c */
    struct fetch *next;
};

struct wanted {
    const struct hash *blobs;
    size_t count;
    bool has_secret; /* the last one is */
};

/* An evaluation that this node leads. */
struct led {
    uint64_t eval; /* first: see byid.h */
    struct work_ballot ballot;
    uint32_t news;    /* counted, see wire_work.seq */
    bool *fed;        /* owned: the projects that the queue knows */
    size_t fed_count; /* of all projects */
    bool is_adopting; /* see clone.c */
};

/* A frame that waits until this node has read the document it is about. */
struct deferred {
    uint64_t token;
    uint64_t peer;
    void *bytes;
    size_t len;
    struct deferred *next;
};

/* How far a module has got, as its executor said last. */
struct progress {
    struct work work;
    struct doc_tally tally;
    uint64_t told_ms; /* to its owner */
    struct progress *next;
};

/* Why a project could not be got ready on some node, by no fault of its own: what its plan will say
 * if no node does better. */
struct failure {
    uint64_t eval;
    uint32_t p;
    struct delta delta; /* owned: one plan */
    struct failure *next;
};

struct hold {
    void (*fini)(void *what);
    void *what;
};

struct mesh {
    struct mesh_config config;
    uint64_t self;
    struct swim *swim;
    struct own *own;
    struct queue *queue;
    struct agent *agent;
    struct sync *sync;
    uint64_t now_ms;
    uint64_t wall_ms;
    uint64_t last_token;
    struct append *appends; /* in the order of their tokens */
    struct append **appends_end;
    struct fetch *fetches;
    struct led **leds; /* by id */
    size_t led_count, led_room;
    struct deferred *deferreds;
    size_t deferred_count;
    struct progress *progress;
    struct failure *failures;
    struct clone *clones; /* see clone.c */
    uint64_t *taken;      /* evaluations of which own has an append behind it, in this step */
    size_t taken_count, taken_room;
    struct treed *treed; /* see tree.c */
    struct view *views;  /* see live.c */
    size_t view_count;
    struct submission *submissions; /* see submit.c */
    size_t submission_count;
    uint64_t loads_told_ms;
    struct wire_load load;
    uint32_t shash;
    bool is_begun; /* the documents were looked at once */
    bool is_draining;
    bool is_agent_drained;
    bool is_handed_over;
    bool is_drained;
    struct mesh_counters counters;

    /* Of the step that goes on. */
    struct mesh_out *out;
    struct note *notes;
    size_t note_next;
    size_t note_count;
    size_t note_capacity;
    struct hold *holds;
    size_t hold_count;
    size_t hold_capacity;
};

/* ---- notes.c: what a step holds, and what the machines say to each other ----------------------
 */

/* Keeps something until the next step. */
void mesh_hold(struct mesh *self, void *what, void (*fini)(void *what));

/* Returns memory until the next step. */
void *mesh_scratch(struct mesh *self, size_t bytes);
void *mesh_copy(struct mesh *self, const void *bytes, size_t len);

/* Adds an effect, zero but for its kind. Valid until the next one is added. */
struct mesh_effect *mesh_effect(struct mesh *self, enum mesh_effect_kind kind);

/* Frees what the last step kept. */
void mesh_release_holds(struct mesh *self);

void mesh_note(struct mesh *self, const struct note *note);
void mesh_note_own(struct mesh *self, struct own_event event);
void mesh_note_agent(struct mesh *self, struct agent_event event);
void mesh_note_queue(struct mesh *self, struct queue_event event);
void mesh_note_swim(struct mesh *self, struct swim_event event);
void mesh_note_sync(struct mesh *self, struct sync_event event);

/* Takes notes until there are none. */
void mesh_take_notes(struct mesh *self);

/* Sends a message over the link with `peer`, never this node. */
void mesh_send(struct mesh *self, uint64_t peer, const struct wire_msg *msg);

/* The same to one who need not be a member yet. */
void mesh_send_to(struct mesh *self, uint64_t peer, const struct wire_addr *addr,
                  const struct wire_msg *msg);

/* Attempts as messages name them. Valid until the next step. */
const struct wire_ref *mesh_refs(struct mesh *self, const struct work_item *items, size_t count);

static inline struct work_ballot mesh_ballot(struct doc_ballot from)
{
    return (struct work_ballot){.epoch = from.epoch, .owner = from.owner};
}

static inline struct work_ballot mesh_ballot_of_wire(struct wire_fence from)
{
    return (struct work_ballot){.epoch = from.epoch, .owner = from.owner};
}

static inline struct wire_fence mesh_fence(struct work_ballot from)
{
    return (struct wire_fence){.epoch = from.epoch, .owner = from.owner};
}

static inline struct doc_ballot mesh_doc_ballot(struct work_ballot from)
{
    return (struct doc_ballot){.epoch = from.epoch, .owner = from.owner};
}

static inline const struct doc *mesh_doc(const struct mesh *self, uint64_t eval)
{
    return self->config.docs->find(self->config.docs->arg, eval);
}

/* ---- members.c: swim's effects, and what the others hear of members -------------------------- */

void mesh_swim(struct mesh *self, const struct swim_event *event);
void mesh_link_down(struct mesh *self, const struct mesh_event *event);
void mesh_tell_loads(struct mesh *self);
void mesh_tell_own_load(struct mesh *self);

/* ---- documents.c: own's and sync's effects, and what follows from a change of a document ----- */

void mesh_own(struct mesh *self, const struct own_event *event);
void mesh_sync(struct mesh *self, const struct sync_event *event);

/* Asks for an append and remembers what for. Copies the delta. Returns what to fill in. */
struct append *mesh_append(struct mesh *self, enum append_for who, const struct delta *delta);
void mesh_appended(struct mesh *self, const struct mesh_event *event);
void mesh_fetched(struct mesh *self, const struct mesh_event *event);
struct fetch *mesh_fetch(struct mesh *self, const struct wanted *wanted, const uint64_t *sources,
                         size_t source_count);

/* ---- lead.c: the evaluations that this node leads, and its queue -------------------------------
 */

void mesh_queue(struct mesh *self, const struct queue_event *event);
struct led *mesh_led(const struct mesh *self, uint64_t eval);
void mesh_lead(struct mesh *self, uint64_t eval, struct work_ballot ballot);
void mesh_unlead(struct mesh *self, uint64_t eval);

/* A project whose repository is cloned, and that the queue does not know yet, is fed to it. */
void mesh_feed_project(struct mesh *self, const struct doc *doc, struct led *led, uint32_t p);

/* What became known of a document is fed to the queue. */
void mesh_feed_changes(struct mesh *self, const struct delta *delta, unsigned changed);

/* give_up.c: a record, or a plan, that says that nobody could. */
void mesh_give_up(struct mesh *self, const struct work *work, enum work_blame blame);

/* Nodes that have an evaluation's bundles: this one and its replicas. `out` has room for
 * WIRE_SOURCES_MAX. Returns how many. */
size_t mesh_sources(const struct mesh *self, const struct doc *doc, uint64_t *out);

/* ---- clone.c, clone_get.c, secret.c: repositories, their bundles, their secrets
 * -----------------------------------
 */

struct clone;

static inline bool mesh_is_git(const struct doc *doc)
{
    return doc && doc->req && doc->req->kind == DOC_GIT;
}

static inline bool mesh_is_same_hash(const struct hash *a, const struct hash *b)
{
    return memcmp(a, b, sizeof *a) == 0;
}

/* Also where there is none to be had. */
static inline bool mesh_has_blob(const struct mesh *self, const struct hash *blob)
{
    const struct docs *docs = self->config.docs;
    return !doc_hash_is_set(blob) || docs->has_blob(docs->arg, blob);
}

/* Says whether this node is one. */
bool mesh_is_replica(const struct mesh *self, const struct doc *doc);

static inline bool mesh_is_over(const struct doc *doc) { return doc->cancel || doc_is_final(doc); }

/* Does and ends whatever a document asks for now: of all its projects, of one, or of
 * those of a delta that brought sources. */
void mesh_look_clones(struct mesh *self, uint64_t eval);
void mesh_look_project(struct mesh *self, uint64_t eval, uint32_t p);
void mesh_look_sources(struct mesh *self, const struct delta *delta);

/* Whether this node still needs a secret, which is `eval`'s or was meant to be. */
void mesh_look_secret(struct mesh *self, uint64_t eval, const struct hash *secret);

/* The same of what own took in, or did not, in this step. */
void mesh_look_taken(struct mesh *self);

void mesh_cloned(struct mesh *self, const struct mesh_event *event);
void mesh_clone_progress(struct mesh *self, const struct mesh_event *event);
void mesh_clone_appended(struct mesh *self, const struct work *work, bool is_ok);
void mesh_clone_fetched(struct mesh *self, const struct fetch *fetch, bool is_ok);
void mesh_clones_member(struct mesh *self); /* somebody came who may have what is missing */
void mesh_tick_clones(struct mesh *self);
uint64_t mesh_clones_deadline(const struct mesh *self);
void mesh_free_clones(struct mesh *self);

/* Of those that this node leads: fills at most `room`, returns how many there are. */
size_t mesh_led_clones(const struct mesh *self, uint64_t eval, struct mesh_clone *out, size_t room);

/* ---- tree.c: which commit a project was got ready of ------------------------------------------
 */

struct treed;

/* A chore begins here, for the project's present tree. */
void mesh_tree_begins(struct mesh *self, const struct doc *doc, const struct work *chore);

/* Says whether a chore's tree is not the project's any more, or its plan (or NULL) is of another
 * one. */
bool mesh_tree_is_old(const struct mesh *self, const struct work *chore,
                      const struct doc_plan *plan);
void mesh_tree_ended(struct mesh *self, const struct work *chore, enum work_end end);

/* Says whether what is ready of a module's project is of another tree than its plan. */
bool mesh_tree_is_other(const struct mesh *self, const struct work *module);

/* A source changed: what is ready of another tree is not any more. */
void mesh_tree_changed(struct mesh *self, const struct doc *doc, uint32_t p);
void mesh_forget_trees(struct mesh *self, uint64_t eval); /* 0: of all */

/* ---- work.c: this node's agent, and the runner's events ----------------------------------------
 */

void mesh_agent(struct mesh *self, const struct agent_event *event);
void mesh_stop_attempt(struct mesh *self, const struct work *work);
void mesh_ended(struct mesh *self, const struct mesh_event *event);

/* Tells the agent of the end of an attempt here. */
void mesh_tell_ending(struct mesh *self, const struct ending *ending);
void mesh_chore_fetched(struct mesh *self, const struct fetch *fetch, bool is_ok);

/* From the runner (no peer), or from an executor. */
void mesh_progress(struct mesh *self, const struct mesh_event *event);

/* Of a module, or (m: WORK_CHORE) of a whole evaluation. */
void mesh_forget_progress(struct mesh *self, uint64_t eval, uint32_t p, uint32_t m);

void mesh_keep_failure(struct mesh *self, const struct work *chore, const struct delta *delta);
struct failure *mesh_failure(const struct mesh *self, uint64_t eval, uint32_t p);
void mesh_forget_failures(struct mesh *self, uint64_t eval); /* 0: of all */

/* ---- live.c: what runs of evaluations that others lead
 * -------------------------------------------
 */

struct view;

/* Tells whoever reads an evaluation that this node leads. */
void mesh_tell_live(struct mesh *self, uint64_t peer, uint64_t eval);
void mesh_hear_live(struct mesh *self, uint64_t peer, const struct wire_live *live);
void mesh_forget_live(struct mesh *self, uint64_t eval); /* 0: of all */

/* Says whether somebody leads an evaluation, or did. */
bool mesh_was_led(const struct mesh *self, const struct doc *doc);

/* ---- submit.c: submissions under an Idempotency-Key
 * ----------------------------------------------
 */

struct submission;

void mesh_submit(struct mesh *self, const struct mesh_event *event);
void mesh_on_submit(struct mesh *self, uint64_t peer, const struct wire_submit *submit);
void mesh_on_submitted(struct mesh *self, uint64_t peer, const struct wire_submitted *told);
void mesh_submission_fetched(struct mesh *self, const struct fetch *fetch, bool is_ok);
void mesh_submission_peer_lost(struct mesh *self, uint64_t peer);
void mesh_tick_submissions(struct mesh *self);
uint64_t mesh_submissions_deadline(const struct mesh *self);
void mesh_free_submissions(struct mesh *self);

/* Each says whether it was a submission's. */
bool mesh_submission_put_ok(struct mesh *self, uint64_t peer, const struct wire_put_ok *ok);
bool mesh_submission_put_low(struct mesh *self, const struct wire_put_low *low);
bool mesh_submission_asked(struct mesh *self, uint64_t token);

/* Says whether one waits whose request names that secret. */
bool mesh_submission_needs(const struct mesh *self, uint64_t eval, const struct hash *secret);
bool mesh_submission_accepted(struct mesh *self, uint64_t eval, unsigned replicas);
bool mesh_submission_refused(struct mesh *self, uint64_t eval, enum own_why why);

/* ---- frames.c: messages, to the machine that they are for --------------------------------------
 */

void mesh_frame(struct mesh *self, uint64_t peer, const void *bytes, size_t len);

/* A question of ours was answered: what waited for it goes on. */
void mesh_undefer(struct mesh *self, uint64_t token);

/* ---- assigned.c: what owners say to this node, as an executor ----------------------------------
 */

/* These return false when the frame must wait for its document. */
bool mesh_on_offer(struct mesh *self, uint64_t peer, const struct wire_offer *offer);
bool mesh_on_assign(struct mesh *self, uint64_t peer, const struct wire_assign *assign,
                    bool is_deferred);
void mesh_on_nowork(struct mesh *self, uint64_t peer, const struct wire_work *nowork);
void mesh_on_cancel(struct mesh *self, uint64_t peer, const struct wire_cancel *cancel);
void mesh_on_result_ok(struct mesh *self, const struct wire_result_ok *ok);

/* ---- reported.c: what executors say to this node, as an owner ----------------------------------
 */

void mesh_on_claim(struct mesh *self, uint64_t peer, const struct wire_claim *claim);
void mesh_on_refuse(struct mesh *self, uint64_t peer, const struct wire_refuse *refuse);
void mesh_on_result(struct mesh *self, uint64_t peer, const struct wire_result *result);
void mesh_on_beat(struct mesh *self, uint64_t peer, const struct wire_beat *beat);
void mesh_on_progress(struct mesh *self, uint64_t peer, const struct wire_progress *progress);

/* Ends an attempt of ours at `peer`, and confirms it. */
void mesh_confirm(struct mesh *self, const struct ending *ending);

#endif
