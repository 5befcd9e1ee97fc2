/* metrics_work: evaluations, modules, environments, repositories, the store. */
#include "node/api/internal.h"

#include "proto/base/clock.h"

/* ---- evaluations and the store --------------------------------------------------------------- */

static void put_evaluations(struct exposition *out, const struct store_stats *stats)
{
    uint64_t now_ms = clock_wall_ms();
    uint64_t since_ms = stats->oldest_open_ms;
    exposition_family(out, EXPOSITION_GAUGE, "testmesh_evaluations",
                      "Evaluations in this node's store; those of the whole mesh, when the stores "
                      "are equal.");
    for (enum summary_status i = 0; i < SUMMARY_STATUS_COUNT; i++)
        exposition_uint(out, EXPOSITION_LABEL("state", summary_status_name(i)),
                        stats->evaluations[i]);
    exposition_family(out, EXPOSITION_GAUGE, "testmesh_evaluations_oldest_open_age_seconds",
                      "Age of the oldest evaluation that is not over; 0: all are.");
    exposition_ms(out, EXPOSITION_NONE, since_ms && now_ms > since_ms ? now_ms - since_ms : 0);
}

static void put_store(struct exposition *out, const struct store *store,
                      const struct store_stats *stats)
{
    exposition_gauge(out, "testmesh_store_writable",
                     "Whether the store writes; 0 until the node is started again.",
                     store_writable(store, NULL));
    exposition_gauge(out, "testmesh_store_repairing",
                     "Whether acknowledged records are being fetched again.",
                     store_repairing(store));
    exposition_family(out, EXPOSITION_COUNTER, "testmesh_store_appends_total",
                      "Records that became durable, or did not.");
    exposition_uint(out, EXPOSITION_LABEL("outcome", "durable"), stats->records);
    exposition_uint(out, EXPOSITION_LABEL("outcome", "failed"), stats->records_failed);
    exposition_family(out, EXPOSITION_HISTOGRAM, "testmesh_store_append_duration_seconds",
                      "From a record's append to its sync on the disk.");
    exposition_histogram(out, EXPOSITION_NONE, &stats->append);
    exposition_gauge(out, "testmesh_store_writes_waiting", "Jobs for the disk that are not done.",
                     (double)stats->writes_waiting);
    exposition_gauge(out, "testmesh_store_log_bytes", "The log since its last snapshot.",
                     (double)stats->log_bytes);
    exposition_gauge(out, "testmesh_store_blobs_bytes",
                     "Bundles, outputs and details, measured every ten minutes; 0 before.",
                     (double)stats->blob_bytes);
    exposition_counter(out, "testmesh_store_blobs_collected_bytes_total",
                       "Blobs that were removed to make room.", stats->blobs_gone_bytes);
}

/* ---- modules and projects -------------------------------------------------------------------- */

static void put_modules(struct exposition *out, const struct executor_stats *stats)
{
    exposition_family(out, EXPOSITION_COUNTER, "testmesh_modules_total",
                      "Modules that ran on this node and ended, each attempt.");
    for (enum doc_outcome outcome = DOC_NO_OUTCOME + 1; outcome < DOC_OUTCOME_COUNT; outcome++)
        for (enum doc_blame blame = 0; blame < DOC_BLAME_COUNT; blame++)
            exposition_uint(out,
                            &(struct exposition_labels){{{"outcome", doc_outcome_name(outcome)},
                                                         {"blame", doc_blame_name(blame)}}},
                            stats->modules[outcome][blame]);
    exposition_family(out, EXPOSITION_HISTOGRAM, "testmesh_module_duration_seconds",
                      "Wall time of modules that were neither lost nor cancelled.");
    exposition_histogram(out, EXPOSITION_NONE, &stats->module);
}

static void put_tests(struct exposition *out, const struct summary_tally *tests)
{
    const struct {
        const char *name;
        uint64_t count;
    } rows[] = {{"passed", tests->passed},   {"failed", tests->failed},
                {"error", tests->errors},    {"skipped", tests->skipped},
                {"xfailed", tests->xfailed}, {"xpassed", tests->xpassed}};
    exposition_family(out, EXPOSITION_COUNTER, "testmesh_tests_total",
                      "Tests that ran on this node.");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        exposition_uint(out, EXPOSITION_LABEL("outcome", rows[i].name), rows[i].count);
}

static void put_projects(struct exposition *out, const struct executor_stats *stats)
{
    exposition_family(out, EXPOSITION_COUNTER, "testmesh_projects_total",
                      "Projects that this node got ready to run, or did not.");
    exposition_uint(out, &(struct exposition_labels){{{"outcome", "ready"}, {"blame", "none"}}},
                    histogram_count(&stats->prepare));
    for (enum doc_blame blame = DOC_BLAME_PROJECT; blame < DOC_BLAME_COUNT; blame++)
        exposition_uint(
            out,
            &(struct exposition_labels){{{"outcome", "failed"}, {"blame", doc_blame_name(blame)}}},
            stats->projects_failed[blame]);
    exposition_uint(out, &(struct exposition_labels){{{"outcome", "cancelled"}, {"blame", "none"}}},
                    stats->projects_cancelled);
    exposition_family(out, EXPOSITION_HISTOGRAM, "testmesh_project_prepare_duration_seconds",
                      "How long projects took to get ready, with the environment's time.");
    exposition_histogram(out, EXPOSITION_NONE, &stats->prepare);
}

static void put_load(struct exposition *out, const struct api *api)
{
    struct mesh_load load = host_load(api->config.host);
    unsigned busy = load.running < load.slots ? (unsigned)load.running : load.slots;
    exposition_family(out, EXPOSITION_GAUGE, "testmesh_slots", "Places for modules on this node.");
    exposition_uint(out, EXPOSITION_LABEL("state", "busy"), busy);
    exposition_uint(out, EXPOSITION_LABEL("state", "free"), load.slots - busy);
    exposition_gauge(out, "testmesh_queue_modules",
                     "Modules that wait, of evaluations that this node leads.",
                     (double)load.waiting);
    exposition_family(out, EXPOSITION_GAUGE, "testmesh_queue_predicted_seconds",
                      "How long those will take, one after the other.");
    exposition_ms(out, EXPOSITION_NONE, load.waiting_ms);
    exposition_gauge(out, "testmesh_projects_preparing", "Projects that get ready on this node.",
                     (double)load.preparing);
    exposition_gauge(out, "testmesh_evaluations_led", "Evaluations that this node hands out.",
                     (double)load.owned);
}

/* ---- environments and repositories ----------------------------------------------------------- */

static void put_builds(struct exposition *out, const struct env_stats *stats)
{
    exposition_family(out, EXPOSITION_COUNTER, "testmesh_environment_builds_total",
                      "Environments that were installed, or could not be.");
    exposition_uint(out, &(struct exposition_labels){{{"outcome", "built"}, {"blame", "none"}}},
                    stats->built);
    exposition_uint(out, &(struct exposition_labels){{{"outcome", "failed"}, {"blame", "project"}}},
                    stats->failed[ENV_BLAME_PROJECT]);
    exposition_uint(out, &(struct exposition_labels){{{"outcome", "failed"}, {"blame", "cluster"}}},
                    stats->failed[ENV_BLAME_CLUSTER]);
    exposition_family(out, EXPOSITION_HISTOGRAM, "testmesh_environment_build_duration_seconds",
                      "From the first request for an environment until it was there.");
    exposition_histogram(out, EXPOSITION_NONE, &stats->build);
}

static void put_environments(struct exposition *out, const struct api *api)
{
    struct env_stats stats;
    env_store_stats(api->config.metrics.envs, &stats);
    exposition_family(out, EXPOSITION_COUNTER, "testmesh_environment_requests_total",
                      "Projects that asked for an environment: it was there, or they waited.");
    exposition_uint(out, EXPOSITION_LABEL("result", "hit"), stats.hits);
    exposition_uint(out, EXPOSITION_LABEL("result", "miss"), stats.misses);
    put_builds(out, &stats);
    exposition_family(out, EXPOSITION_GAUGE, "testmesh_environments",
                      "Environments on the disk, and those to come.");
    exposition_uint(out, EXPOSITION_LABEL("state", "ready"), stats.ready);
    exposition_uint(out, EXPOSITION_LABEL("state", "building"), stats.building);
    exposition_uint(out, EXPOSITION_LABEL("state", "waiting"), stats.waiting);
    exposition_gauge(out, "testmesh_environments_bytes", "What environments take on the disk.",
                     (double)stats.bytes);
    exposition_counter(out, "testmesh_environments_evicted_total",
                       "Environments that were removed to make room.", stats.evicted);
}

static void put_repositories(struct exposition *out, const struct api *api)
{
    struct clones_stats stats = host_clones_stats(api->config.host);
    exposition_family(out, EXPOSITION_COUNTER, "testmesh_repositories_total",
                      "Repositories that this node was asked to fetch.");
    exposition_uint(out, &(struct exposition_labels){{{"outcome", "fetched"}, {"blame", "none"}}},
                    stats.fetched);
    exposition_uint(out, &(struct exposition_labels){{{"outcome", "failed"}, {"blame", "project"}}},
                    stats.failed_projects);
    exposition_uint(out, &(struct exposition_labels){{{"outcome", "failed"}, {"blame", "cluster"}}},
                    stats.failed_clusters);
    exposition_counter(out, "testmesh_repositories_received_bytes_total",
                       "What git hosts sent for those that were fetched.", stats.bytes);
    exposition_gauge(out, "testmesh_repositories_fetching", "Fetches that are under way.",
                     stats.running);
}

void metrics_put_work(struct exposition *out, const struct api *api)
{
    const struct executor_stats *executor = host_executor_stats(api->config.host);
    struct store_stats store;
    store_stats(api->config.store, &store);
    put_evaluations(out, &store);
    put_load(out, api);
    put_modules(out, executor);
    put_tests(out, &executor->tests);
    put_projects(out, executor);
    put_environments(out, api);
    put_repositories(out, api);
    put_store(out, api->config.store, &store);
}
