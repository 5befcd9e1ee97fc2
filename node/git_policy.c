#include "node/git_policy.h"

#include "proto/base/mem.h"

#include <string.h>

#define OBJECTS_MAX 1000000 /* of one pack: a large tree without its history has a tenth */
#define SILENCE_MS  20000   /* a git server that works says so every five seconds */

int git_policy_check(const struct node_options *options, struct err *err)
{
    for (size_t i = 0; i < options->git_host.count; i++)
        if (git_host_check(options->git_host.items[i], err))
            return err_wrap(err, "--git-host");
    for (size_t i = 0; i < options->git_allow_address.count; i++) {
        struct git_network network;
        if (git_network_parse(&network, options->git_allow_address.items[i], err))
            return err_wrap(err, "--git-allow-address");
    }
    for (size_t i = 0; i < options->status_api.count; i++)
        if (status_api_check(options->status_api.items[i], err))
            return err_wrap(err, "--status-api");
    const char *url = options->public_url;
    if (url && ((strncmp(url, "https://", 8) != 0 && strncmp(url, "http://", 7) != 0) ||
                strpbrk(url, " \t\"<>?#") || url[strlen(url) - 1] == '/'))
        return err_set(err, ERR_INVALID,
                       "--public-url %.200s: must be http(s)://HOST[/PATH], without a slash at its "
                       "end",
                       url);
    return 0;
}

/* Returns owned: the variable where it is an absolute path, as the child's working folder is "/".
 */
static char *path_from(const char *variable)
{
    const char *value = getenv(variable);
    return value && value[0] == '/' ? mem_strdup(value) : NULL;
}

void git_policy_init(struct git_policy *self, const struct node_options *options,
                     const struct archive_limits *limits, const char *program,
                     struct clones_config *out)
{
    size_t count = options->git_allow_address.count;
    *self = (struct git_policy){.networks = mem_new_array(count + 1, sizeof *self->networks),
                                .ca_file = path_from("SSL_CERT_FILE"),
                                .ca_dir = path_from("SSL_CERT_DIR")};
    for (size_t i = 0; i < count; i++)
        if (git_network_parse(&self->networks[i], options->git_allow_address.items[i], NULL))
            abort(); /* git_policy_check() has seen it */
    union {
        char **in;
        const char *const *out;
    } hosts = {.in = options->git_host.items};
    *out = (struct clones_config){.policy = {.hosts = {hosts.out, options->git_host.count},
                                             .also = {self->networks, count},
                                             .ca_file = self->ca_file,
                                             .ca_dir = self->ca_dir,
                                             .limits = *limits,
                                             .bytes_max = options->git_bytes,
                                             .objects_max = OBJECTS_MAX,
                                             .silence_ms = SILENCE_MS,
                                             .program = program},
                                  .at_once = (unsigned)options->git_at_once,
                                  .timeout_ms = options->git_timeout_ms};
}

void git_policy_statuses(const struct git_policy *self, const struct node_options *options,
                         const char *program, struct statuses_config *out)
{
    union {
        char **in;
        const char *const *out;
    } apis = {.in = options->status_api.items};
    *out = (struct statuses_config){
        .policy = {.also = {self->networks, options->git_allow_address.count},
                   .ca_file = self->ca_file,
                   .ca_dir = self->ca_dir,
                   .program = program},
        .apis = apis.out,
        .api_count = options->status_api.count};
}

void git_policy_fini(struct git_policy *self)
{
    free(self->networks);
    free(self->ca_file);
    free(self->ca_dir);
    *self = (struct git_policy){0};
}
