/* summary: what people read of a document (status, counts, marks), derived and never stored.
 *
 * Sums are integers. One rounding, once: a percentage is rounded half up to 1/10,000 of a percent
 * from the exact fraction; %failed is what is left to 100; a mark (nota) is %passed / 5, which is
 * exact in 1/100,000; mean_nota is the mean of the projects' marks, rounded half up once. Write
 * them with json_out_real(x / 1e4, 4) and (x / 1e5, 5).
 *
 * Marks: passed and xpassed are good, failed and errors are bad; skipped, xfailed and deselected
 * are neither. A module that ended badly (time limit, crash, lost, failed set-up, …) with nothing
 * bad reported is one error, else ending early would raise a mark. What is the cluster's fault
 * counts for nothing: the project's mark is null, the evaluation is incomplete. */
#ifndef NODE_STORE_SUMMARY_H
#define NODE_STORE_SUMMARY_H

#include "node/store/doc.h"

enum summary_status {
    SUMMARY_SUBMITTED,
    SUMMARY_PREPARING, /* or there are repositories that still are to be cloned */
    SUMMARY_RUNNING,
    SUMMARY_DONE,      /* sealed and committed */
    SUMMARY_CANCELLED, /* likewise, after a cancel */
    SUMMARY_FAILED,    /* likewise, and not one project could be planned */
    SUMMARY_STATUS_COUNT
};

/* "submitted", …, as in the API. */
const char *summary_status_name(enum summary_status status);
bool summary_status_parse(const char *name, enum summary_status *out);

/* The status alone, of what the document says: cheap. summary_init() with nothing running says the
 * same. */
enum summary_status summary_status_of(const struct doc *doc);

enum summary_phase { SUMMARY_PENDING, SUMMARY_EXECUTING, SUMMARY_FINISHED };

/* "pending", "running", "done": a module's status in the API. */
const char *summary_phase_name(enum summary_phase phase);

/* Counts of many modules. */
struct summary_tally {
    uint64_t passed; /* without xpassed */
    uint64_t failed; /* without errors */
    uint64_t errors;
    uint64_t skipped;
    uint64_t xfailed;
    uint64_t xpassed;
    uint64_t deselected;
};

/* "passed" as the API counts it (with xpassed), and "failed" as marks and /stats count it (with
 * errors). */
uint64_t summary_good(const struct summary_tally *tally);
uint64_t summary_bad(const struct summary_tally *tally);

struct summary_marks {
    uint32_t passed_e4; /* %passed in 1/10,000 of a percent: 0 … 1,000,000 */
    uint32_t failed_e4;
    uint32_t nota_e5; /* 0 … 2,000,000 for 0 … 20 */
};

struct summary_marks summary_marks_of(const struct summary_tally *tally);

/* What is running now and thus in no document. */
struct summary_running {
    uint32_t p, m;
    uint32_t n;             /* the attempt */
    const char *addr;       /* where; or NULL */
    uint64_t start_ms;      /* wall clock */
    struct doc_tally tally; /* so far */
};

struct summary_live {
    uint64_t now_ms; /* wall clock */
    bool preparing;  /* somebody fetches, unpacks or builds for this evaluation */
    const struct summary_running *running;
    size_t running_count;
};

struct summary_module {
    uint32_t p, m;
    const char *path; /* borrowed from the document, as is all text here */
    enum summary_phase phase;
    enum doc_outcome outcome; /* DOC_NO_OUTCOME until it has finished */
    enum doc_blame blame;
    struct summary_tally tally; /* while it runs: so far, and not yet in the sums */
    struct summary_marks marks;
    uint64_t ms;
    uint64_t node;    /* id_node_short() of who executed it; 0 for nobody */
    const char *addr; /* NULL until somebody runs it */
    uint32_t attempts;
    bool cached;
    const struct doc_rec *rec; /* the record that counts, or NULL */
};

struct summary_project {
    uint32_t p;
    const char *name;
    const char *source;       /* pins the commit as soon as that is known */
    const char *requirements; /* or NULL */
    const char *const *notes; /* for the user */
    size_t note_count;
    enum summary_phase phase; /* finished: planned and every module is */
    enum doc_outcome outcome; /* of the whole, when finished: the worst of its modules' */
    enum doc_blame blame;
    const char *message;        /* why it failed as a whole, or NULL */
    const struct hash *log;     /* the build log's blob, or NULL */
    struct summary_tally tally; /* of finished modules */
    struct summary_marks marks;
    bool has_nota; /* false: the cluster's fault, shown as null */
    uint64_t executed, executing, pending;
    uint64_t ms;                       /* of its modules, added up */
    size_t first_module, module_count; /* its modules: summary.modules[first_module …] */
};

struct summary {
    uint64_t id;
    const char *name;
    uint64_t created_ms;
    enum summary_status status;
    struct summary_tally tally;
    struct summary_marks marks; /* over all tests */
    uint32_t mean_nota_e5;
    bool has_mean_nota; /* false: no project has a mark */
    bool incomplete;
    bool degraded; /* committed without a majority: another result may have been shown before */
    uint64_t executed, executing, pending; /* modules */
    uint64_t eval_ms;
    struct summary_project *projects;
    size_t project_count;
    struct summary_module *modules; /* of all projects, in order of (p, m) */
    size_t module_count;
};

/* Fills `out` (summary_fini) from a document and what runs now (NULL: nothing). Borrows from `doc`
 * and `live`, valid until the document changes. */
void summary_init(struct summary *out, const struct doc *doc, const struct summary_live *live);
void summary_fini(struct summary *self);
#define owned_summary __attribute__((cleanup(summary_fini))) struct summary

/* The identity that /stats counts a project by: its repository's URL, normalised (scheme, "www.",
 * ".git", trailing slash and "/tree/<branch>" dropped, host in lower case), else its folder's name.
 * Nothing that is found out later changes it. Returns owned. */
char *summary_identity(const struct doc *doc, uint32_t p);

#endif
