/* What came of a job: the supervisor's facts and the records, as one result. */
#include "proto/base/mem.h"
#include "runner/jail/confine_spec.h"
#include "runner/job/job_inner.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>

static enum job_limit limit_of(enum supervise_limit limit)
{
    static const enum job_limit limits[] = {
        [SUPERVISE_LIMIT_NONE] = JOB_LIMIT_NONE,
        [SUPERVISE_LIMIT_WALL] = JOB_LIMIT_WALL,
        [SUPERVISE_LIMIT_CPU] = JOB_LIMIT_CPU,
        [SUPERVISE_LIMIT_MEMORY] = JOB_LIMIT_MEMORY,
        [SUPERVISE_LIMIT_OUTPUT] = JOB_LIMIT_OUTPUT,
        [SUPERVISE_LIMIT_DISK] = JOB_LIMIT_TMP,
        [SUPERVISE_LIMIT_PROCESS] = JOB_LIMIT_PROCESSES,
    };
    return limits[limit];
}

static void strike(struct job_end *end, enum job_limit limit, uint64_t used, uint64_t allowed)
{
    end->struck = limit;
    end->used = used;
    end->allowed = allowed;
}

/* Limits that the kernel keeps show in how the payload ended. */
static void add_kernel_limits(const struct job *self, struct job_end *end)
{
    uint64_t peak = self->has_cgroup ? cgroup_memory_peak(&self->slot->cgroup) : 0;
    int number = WIFSIGNALED(self->wait_status) ? WTERMSIG(self->wait_status) : 0;
    if (self->verdict.ended)
        return;
    if (number != SIGXCPU && self->has_cgroup && cgroup_oom_kills(&self->slot->cgroup) > 0) {
        strike(end, JOB_LIMIT_MEMORY, peak, self->limits.memory_bytes);
        end->lost = false;
    } else if (number == SIGXCPU) {
        strike(end, JOB_LIMIT_CPU, self->cpu_us / 1000, self->limits.cpu_ms);
    }
}

static void meet(struct job_end *end, enum job_limit limit, uint64_t allowed)
{
    end->met = limit;
    end->used = allowed;
    end->allowed = allowed;
}

static bool was_at_processes(const struct job *self)
{
    bool in_jail = self->engine->config.isolation == ENGINE_JAILED;
    return in_jail && !self->counts_processes && self->limits.processes &&
           self->process_peak > self->limits.processes; /* init is one of them */
}

/* Limits that answer with an error and end nothing. Where the kernel keeps no count, what was seen
 * at a limit without having been refused counts for jobs that did not pass: `is_likely`. */
static void add_met_limits(const struct job *self, struct job_end *end, bool *is_likely)
{
    const struct confine_end *seen = &self->confined;
    const struct job_limits *limits = &self->limits;
    int number = WIFSIGNALED(self->wait_status) ? WTERMSIG(self->wait_status) : 0;
    uint64_t inodes = confine_spec_default().tmp_inodes;
    bool says_full = self->verdict.says_full;
    *is_likely = false;
    if (self->counts_processes && cgroup_forks_refused(&self->slot->cgroup) > 0)
        meet(end, JOB_LIMIT_PROCESSES, limits->processes);
    else if ((seen->flags & CONFINE_END_FILE_REFUSED) || number == SIGXFSZ)
        meet(end, JOB_LIMIT_FILE, limits->file_bytes);
    else if ((seen->flags & CONFINE_END_TMP_FULL) ||
             (says_full && seen->tmp_bytes >= limits->tmp_bytes / 2))
        meet(end, JOB_LIMIT_TMP, limits->tmp_bytes);
    else if ((seen->flags & CONFINE_END_INODES_FULL) ||
             (says_full && seen->tmp_inodes >= inodes / 2))
        meet(end, JOB_LIMIT_INODES, inodes);
    else if ((*is_likely = was_at_processes(self)))
        meet(end, JOB_LIMIT_PROCESSES, limits->processes);
    else if ((*is_likely = (seen->flags & CONFINE_END_FILE_FULL) != 0))
        meet(end, JOB_LIMIT_FILE, limits->file_bytes);
}

#define TOO_LARGE "(project too large)"

static bool ends_with(const char *text, const char *end)
{
    size_t len = strlen(text);
    size_t end_len = strlen(end);
    return len >= end_len && strcmp(text + len - end_len, end) == 0;
}

static struct job_end end_of(const struct job *self)
{
    const struct supervise_verdict *verdict = &self->supervise.verdict;
    struct job_end end = {
        .lost = self->lost || verdict->kind == SUPERVISE_STUCK,
        .text = self->lost_text[0] ? self->lost_text : NULL,
        .wait_status = self->wait_status,
        .foreign_record = self->foreign_record,
    };
    if (ends_with(self->lost_text, TOO_LARGE)) {
        end.lost = false;
        end.setup_failed = true;
    }
    if (verdict->kind == SUPERVISE_CANCELLED)
        end.cancelled = true;
    else if (verdict->kind == SUPERVISE_LIMITED) {
        strike(&end, limit_of(verdict->limit), verdict->used, verdict->allowed);
        end.lost = verdict->kind == SUPERVISE_STUCK;
    } else
        add_kernel_limits(self, &end);
    return end;
}

static void tell_limit(const struct job_end *end, struct job_result *result)
{
    result->limit = end->struck != JOB_LIMIT_NONE ? end->struck : end->met;
    result->limit_used = end->used;
    result->limit_allowed = end->allowed;
}

void job_tell(struct job *self)
{
    struct job_end end = end_of(self);
    bool is_likely = false;
    if (end.struck == JOB_LIMIT_NONE && !end.cancelled && !end.lost && !end.setup_failed)
        add_met_limits(self, &end, &is_likely);
    struct job_result result = {
        .wall_ms = self->started_ms ? self->ended_ms - self->started_ms : 0,
        .cpu_ms = self->cpu_us / 1000,
        .max_rss_bytes = self->max_rss_bytes,
        .wait_status = self->wait_status,
        .modules = self->verdict.modules,
        .module_count = self->verdict.module_count,
        .cold_start = self->cold,
    };
    owned_buf cases = BUF_INIT;
    owned_buf text = BUF_INIT;
    owned_buf blob = self->verdict.blob;
    self->verdict.blob = (struct buf)BUF_INIT;
    capture_text(&self->capture, &text);
    size_t tail = text.len > RECORD_LONGREPR_MAX ? text.len - RECORD_LONGREPR_MAX : 0;
    verdict_conclude(&self->verdict, &end, buf_str(&text) + tail, &cases, &result.verdict);
    if (!is_likely || result.verdict.outcome != JOB_PASSED)
        tell_limit(&end, &result);
    result.cases = cases;
    result.blob = blob;
    result.output = (struct job_output){.kept = text, .total_bytes = self->capture.total_bytes};
    self->callbacks.done(self->arg, self, &result);
    cases = result.cases;
    blob = result.blob;
    text = result.output.kept;
}
