/* assemble: the composition root: what a node is made of, in which order, and who is told what. */
#include "node/node_inner.h"

#include "node/address.h"
#include "node/machine.h"
#include "node/session.h"
#include "proto/base/log.h"
#include "proto/base/mem.h"
#include "runner/egress/egress.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PREPARE_AT_ONCE 4

/* ---- what the machine has -------------------------------------------------------------------- */

static int check_isolation(struct node *self, struct err *err)
{
    jail_probe(self->runtime_dir, self->program, (uid_t)self->options.uid_base, &self->jail);
    self->is_sandboxed = self->jail.tier == 'A';
    if (self->is_sandboxed)
        return 0;
    if (self->options.allow_unsandboxed &&
        self->options.require_isolation == OPTIONS_ISOLATION_NONE) {
        log_warn("unsandboxed", "tests run as plain processes of this user: %s",
                 self->jail.problem);
        return 0;
    }
    return err_set(err, ERR_UNAVAILABLE,
                   "tests cannot be isolated here: %s. %s. (--allow-unsandboxed runs them as plain "
                   "processes, at your own risk)",
                   self->jail.problem, self->jail.advice);
}

static int check_exposure(const struct node *self, struct err *err)
{
    const struct node_options *options = &self->options;
    for (size_t i = 0; i < options->listen.count; i++)
        if (!address_is_loopback(options->listen.items[i]) && !options->open &&
            !options->token_file)
            return err_set(err, ERR_INVALID,
                           "--listen %s is reached from other machines: give --token-file PATH, or "
                           "--open to serve everybody",
                           options->listen.items[i]);
    return 0;
}

/* ---- putting it together --------------------------------------------------------------------- */

static struct job_limits module_limits(const struct node_options *options)
{
    return (struct job_limits){.wall_ms = options->module_timeout_ms,
                               .cpu_ms = options->module_cpu_ms ? options->module_cpu_ms
                                                                : options->module_timeout_ms * 64,
                               .memory_bytes = options->module_memory_bytes,
                               .processes = (uint64_t)options->module_processes,
                               .file_bytes = options->module_file_size_bytes,
                               .tmp_bytes = options->module_disk_bytes,
                               .descriptors = (uint64_t)options->module_files,
                               .output_bytes = options->module_output_bytes};
}

static struct archive_limits archive_limits(const struct node_options *options)
{
    struct archive_limits limits = ARCHIVE_LIMITS_DEFAULT;
    limits.entry_count = (uint32_t)options->archive_entries;
    limits.total_bytes = options->archive_bytes;
    limits.file_bytes = options->archive_file_size_bytes;
    limits.depth = (uint32_t)options->archive_depth;
    return limits;
}

static int open_store(struct node *self, struct err *err)
{
    self->store = store_open(&(struct store_options){.dir = self->options.data,
                                                     .base = self->base,
                                                     .cluster = self->options.cluster},
                             err);
    return self->store ? 0 : err->code;
}

/* Its warm server has the folder that goes; a later build of that key is another folder. */
static void on_env_evicted(void *arg, const char *key)
{
    struct node *self = arg;
    if (self->engine)
        engine_forget(self->engine, key);
}

static int open_envs(struct node *self, struct err *err)
{
    owned_mem char *dir = mem_printf("%s/envs", self->options.data);
    union {
        char **in;
        const char *const *out;
    } pythons = {.in = self->options.python.items}, hosts = {.in = self->options.index_host.items};
    struct env_config config = {
        .dir = dir,
        .pythons = pythons.out,
        .python_count = self->options.python.count,
        .uv = self->options.uv,
        .self = self->program,
        .runtime_dir = self->is_sandboxed ? self->runtime_dir : NULL,
        /* Not a slot's: what builds must not reach what runs. */
        .uid = (uid_t)self->options.uid_base - 1,
        .egress = self->way_out.egress,
        .index_hosts = hosts.out,
        .index_host_count = self->options.index_host.count,
        .build_wall_ms = (uint32_t)self->options.env_timeout_ms,
        .cap_bytes = self->options.envs_max_bytes ? self->options.envs_max_bytes : UINT64_MAX,
        .is_cache_suspect = self->is_cache_suspect,
        .evicted = on_env_evicted,
        .evicted_arg = self};
    self->envs = env_store_new(self->base, &config, err);
    if (!self->envs)
        return err->code;
    owned_buf versions = BUF_INIT;
    size_t count = 0;
    const struct python *all = env_store_pythons(self->envs, &count);
    for (size_t i = 0; i < count; i++)
        buf_printf(&versions, "%s%s (%s)", i ? ", " : "", all[i].version, all[i].executable);
    self->pythons = buf_steal(&versions);
    return 0;
}

static int open_engine(struct node *self, struct err *err)
{
    struct engine_config config = {.runtime_dir = self->runtime_dir,
                                   .isolation =
                                       self->is_sandboxed ? ENGINE_JAILED : ENGINE_UNSANDBOXED,
                                   .fork_server = self->options.fork_server,
                                   .uid_first = (unsigned)self->options.uid_base,
                                   .helper = self->program};
    self->engine = engine_new(self->base, &config, err);
    return self->engine ? 0 : err->code;
}

static void remove_tmp(void *arg, const char *path) { store_remove_tmp(arg, path); }

static int remove_suspect_trees(struct node *self, const char *cache, struct err *err)
{
    owned_mem char *trash = mem_printf("%s/cache", store_tmp_dir(self->store));
    log_warn("caches_removed", "the machine went down under the last node");
    if (rename(cache, trash) == 0)
        store_remove_tmp(self->store, trash);
    else if (errno != ENOENT)
        return err_set(err, ERR_IO, "remove %s: %m", cache);
    return 0;
}

static int open_prepare(struct node *self, struct err *err)
{
    owned_mem char *cache = mem_printf("%s/cache", self->options.data);
    if (self->is_cache_suspect && remove_suspect_trees(self, cache, err))
        return err->code;
    self->prepare =
        prepare_host_new(&(struct prepare_config){.base = self->base,
                                                  .engine = self->engine,
                                                  .envs = self->envs,
                                                  .dir = cache,
                                                  .program = self->program,
                                                  .slot_first = self->slots,
                                                  .at_once = PREPARE_AT_ONCE,
                                                  .limits = module_limits(&self->options),
                                                  .trash = store_tmp_dir(self->store),
                                                  .remove = remove_tmp,
                                                  .remove_arg = self->store},
                         err);
    return self->prepare ? 0 : err->code;
}

/* An environment, then a slot, byte code and the list of modules; each may take its whole time. */
static uint32_t prepare_limit_ms(const struct node_options *options)
{
    uint64_t ms = options->env_timeout_ms + 4 * options->module_timeout_ms;
    return ms < UINT32_MAX ? (uint32_t)ms : UINT32_MAX;
}

static void name_node(struct node *self)
{
    const char *wanted = self->options.name;
    if (wanted)
        (void)snprintf(self->name, sizeof self->name, "%s", wanted);
    else if (gethostname(self->name, sizeof self->name - 1))
        self->name[0] = 0;
}

static int open_host(struct node *self, struct err *err)
{
    const struct node_options *options = &self->options;
    union {
        char **in;
        const char *const *out;
    } join = {.in = options->join.items};
    name_node(self);
    if (!wire_text_ok(self->name, WIRE_NAME_MAX))
        return err_set(err, ERR_INVALID, "--name is no printable text");
    if (open_prepare(self, err))
        return err->code;
    struct archive_limits limits = archive_limits(options);
    struct clones_config clones;
    git_policy_init(&self->git, options, &limits, self->program, &clones);
    struct statuses_config statuses;
    git_policy_statuses(&self->git, options, self->program, &statuses);
    clones.policy.egress = statuses.policy.egress = self->way_out.egress;
    self->host = host_new(
        &(struct host_config){.base = self->base,
                              .store = self->store,
                              .executor = {.store = self->store,
                                           .engine = self->engine,
                                           .prepare = self->prepare,
                                           .address = self->address,
                                           .limits = module_limits(options),
                                           .tier = self->is_sandboxed ? self->jail.tier : 0},
                              .clones = clones,
                              .statuses = statuses,
                              .public_url = options->public_url,
                              .data = options->data,
                              .cluster = options->cluster,
                              .name = self->name,
                              .key_file = options->key_file,
                              .join = join.out,
                              .join_count = options->join.count,
                              .slots = self->slots,
                              .chores = PREPARE_AT_ONCE,
                              .prepare_timeout_ms = prepare_limit_ms(options),
                              .memory_mb = machine_memory_mb(),
                              .allow_single = options->allow_single},
        err);
    if (!self->host)
        return err->code;
    host_on_exit(self->host, node_on_exit_wanted, self);
    return 0;
}

static void open_api(struct node *self)
{
    union {
        char **in;
        const char *const *out;
    } hosts = {.in = self->options.git_host.items};
    self->api = api_new(
        &(struct api_config){.base = self->base,
                             .store = self->store,
                             .host = self->host,
                             .leave = node_on_leave_wanted,
                             .leave_arg = self,
                             .auth = self->auth,
                             .address = self->address,
                             .program = self->program,
                             .archive_limits = archive_limits(&self->options),
                             .git_hosts = {hosts.out, self->options.git_host.count},
                             .upload_max_bytes = self->options.upload_max_bytes,
                             .allow_single = self->options.allow_single,
                             .facts = {.version = TESTMESH_VERSION,
                                       .tier_text = self->is_sandboxed ? self->jail.text : "none",
                                       .python = self->pythons,
                                       .installer = env_store_installer(self->envs)},
                             .metrics = {.envs = self->envs,
                                         .loop_late = &self->lag.late,
                                         .data = self->options.data,
                                         .sandbox = self->is_sandboxed ? "A" : "none"}});
}

/* The first address is the one that others are told, unless --advertise says better. */
static int listen_on(struct node *self, const char *address, struct err *err)
{
    uint16_t port = 0;
    if (http_server_listen(self->server, address, &port, err))
        return err_wrap(err, "--listen %s", address);
    egress_add_own_port(self->way_out.egress, port);
    if (self->address[0])
        return 0;
    self->port = port;
    owned_mem char *own = address_with_port(address, port);
    (void)snprintf(self->address, sizeof self->address, "%s",
                   self->options.advertise ? self->options.advertise : own);
    return 0;
}

/* The mesh has the number of the HTTP port, in UDP, unless it has an address of its own. Without a
 * key it is for this machine: then it stays on the loopback, wherever HTTP is served. */
static int open_mesh(struct node *self, struct err *err)
{
    const struct node_options *options = &self->options;
    const char *first = options->listen.items[0];
    uint16_t port = 0;
    struct wire_addr addr;
    owned_mem char *shared = NULL;
    const char *listen = options->mesh;
    if (!listen) {
        bool is_narrowed = !options->key_file && !address_is_loopback(first);
        listen = shared = address_with_port(is_narrowed ? "127.0.0.1" : first, self->port);
    }
    if (host_listen(self->host, listen, options->mesh != NULL, &port, err))
        return err_wrap(err, "mesh at %s", listen);
    egress_add_own_port(self->way_out.egress, port);
    const char *reached =
        !options->mesh && options->advertise && options->key_file ? options->advertise : listen;
    if (address_resolve(reached, port, &addr, err))
        return err->code;
    return host_start(self->host, self->address, &addr, self->port, err);
}

static int open_server(struct node *self, struct err *err)
{
    const struct node_options *options = &self->options;
    struct http_config config = {.arg = self->api,
                                 .authorize = api_authorize,
                                 .answered = metrics_answered,
                                 .limits = http_limits_default()};
    if (!options->mesh) {
        config.adopt = host_adopt;
        config.adopt_arg = self->host;
    }
    owned_mem const char **hosts = mem_new_array(options->host.count + 1, sizeof *hosts);
    for (size_t i = 0; i < options->host.count; i++)
        hosts[i] = options->host.items[i];
    config.hosts = hosts;
    config.limits.connections = (size_t)options->connections_max;
    config.routes = api_routes(self->api, &config.route_count);
    self->server = http_server_new(self->base, &config);
    for (size_t i = 0; i < options->listen.count; i++)
        if (listen_on(self, options->listen.items[i], err))
            return err->code;
    return open_mesh(self, err);
}

/* ---- all of it ---------------------------------------------------------------------------------
 */

int node_assemble(struct node *self, struct err *err)
{
    self->program = machine_program();
    self->slots = self->options.slots ? (unsigned)self->options.slots : machine_slots();
    self->base = event_base_new();
    if (!self->base)
        return err_set(err, ERR_IO, "no event loop: %m");
    way_out_open(&self->way_out, self->base);
    self->runtime_dir = mem_printf("%s/runtime", self->options.data);
    if (check_exposure(self, err) || git_policy_check(&self->options, err) ||
        open_store(self, err) || session_begin(self->options.data, &self->is_cache_suspect, err) ||
        jail_write_runtime(self->runtime_dir, err) || check_isolation(self, err) ||
        open_envs(self, err) || open_engine(self, err) || open_host(self, err) ||
        session_trust(self->options.data, err))
        return err->code;
    self->is_in_session = true;
    owned_mem char *operator_file = mem_printf("%s/operator.token", self->options.data);
    self->auth = auth_new(self->options.token_file, operator_file, err);
    if (!self->auth)
        return err->code;
    open_api(self);
    return open_server(self, err);
}

void node_dismantle(struct node *self)
{
    http_server_free(self->server);
    if (self->host)
        host_stop(self->host);
    if (self->store)
        store_flush(self->store);
    engine_free(steal_ptr(&self->engine)); /* environments are given back after it */
    api_free(self->api);
    host_free(self->host);
    git_policy_fini(&self->git);
    prepare_host_free(self->prepare);
    if (self->envs)
        env_store_free(self->envs);
    if (self->is_in_session)
        session_end(self->options.data); /* while nobody else can have the folder */
    way_out_close(&self->way_out);
    store_close(self->store);
    auth_free(self->auth);
    lag_stop(&self->lag);
    struct event *events[] = {self->signals[0], self->signals[1], self->drain_timer,
                              self->housekeeping, self->store_check};
    for (size_t i = 0; i < countof(events); i++)
        if (events[i])
            event_free(events[i]);
    if (self->base)
        event_base_free(self->base);
    free(self->program);
    free(self->runtime_dir);
    free(self->pythons);
    node_options_fini(&self->options);
}
