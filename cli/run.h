/* run: submitting a zip and waiting for its marks; `run` and `dev` do this. */
#ifndef CLI_RUN_H
#define CLI_RUN_H

#include "cli/client.h"
#include "cli/follow.h"

/* Submits and waits, telling what it does. Returns the exit code. `follow->id` is filled in here.
 */
int run_upload(struct http_client *http, const struct client_upload *upload,
               struct follow_options *follow, bool wait);

#endif
