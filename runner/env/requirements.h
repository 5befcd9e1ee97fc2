/* requirements: what a stranger may ask an installer for.
 *
 * An installer reads far more from a requirements file than names: `-r /etc/passwd` prints a file's
 * lines, `--index-url` sends the node elsewhere, `-e .` runs a stranger's setup.py. So no installer
 * ever sees a project's own text. It is read here first, by PEP 508 (names, extras, versions,
 * markers) and pip's `--hash=`; what is accepted is written out again in one canonical form, which
 * is both the installer's input and a part of the environment's key. All else is refused, with the
 * file and line it stands on and a hint:
 *
 *   line                                       answer
 *   requests[socks]>=2,<3 ; python_version>"3"  kept
 *   name==1 --hash=sha256:…                     kept
 *   name @ https://…                            kept where the policy allows URLs, else refused
 *   . | -e . | -e .[test] | ./                  dropped with a note: the project's root is on the
 *                                               path anyway (of extras the note speaks too)
 *   --prefer-binary | --only-binary X |         dropped with a note: wheels come first anyway, and
 *   --no-binary X | --use-pep517                what is built is decided by the node
 *   --pre | --require-hashes                    kept, as flags
 *   -r, -c, -i, --index-url, --find-links,      refused: "requirement-option"
 *   --trusted-host, any other option
 *   git+…, file:, ./x, ../x, /x, x.whl, C:\x    refused: "requirement-source"
 *   anything else                               refused: "requirement-syntax"
 *
 * describe.py follows `-r` and `-c` inside the project and marks with C's `#line 3 "file"` where
 * each line is from; messages then name the user's own file and line. Pure.
 */
#ifndef ENV_REQUIREMENTS_H
#define ENV_REQUIREMENTS_H

#include "proto/base/buf.h"
#include "proto/base/err.h"

#include <stdbool.h>
#include <stddef.h>

#define REQUIREMENTS_MAX_BYTES (1024 * 1024)
#define REQUIREMENTS_MAX_LINES 10000
#define REQUIREMENTS_MAX_LINE  8192 /* a logical line; hashes make long ones */
#define REQUIREMENTS_MAX_ITEMS 2000
#define REQUIREMENTS_MAX_NOTES 20
#define REQUIREMENT_MAX_NAME   200

struct requirements_policy {
    bool allow_urls; /* name @ https://host/… without a user part */
};

struct requirement {
    char *name; /* normalised after PEP 503 */
    char *text; /* the canonical line, without its end */
};

struct requirements {
    struct requirement *items; /* sorted by text, no two alike */
    size_t count;
    size_t capacity;
    char **notes; /* what was dropped and why, for the user */
    size_t note_count;
    bool prerelease;     /* --pre */
    bool require_hashes; /* --require-hashes, or any item has a hash */
};

#define REQUIREMENTS_INIT                                                                          \
    {                                                                                              \
        0                                                                                          \
    }

/* Adds what `text` asks for to `self` (call it again to add another file's). `policy` NULL: the
 * strictest. After an error `self` holds what came before the refused line; requirements_fini() it.
 * Errors: ERR_UNPROCESSABLE (reasons "requirement-option", "requirement-source",
 * "requirement-syntax"), ERR_TOO_LARGE ("requirement-limit"). */
int requirements_parse(struct requirements *self, const char *text, size_t len,
                       const struct requirements_policy *policy, struct err *err) ERR_CHECKED;

void requirements_fini(struct requirements *self);

#define owned_requirements __attribute__((cleanup(requirements_fini))) struct requirements

/* Whether a distribution is asked for; `name` is normalised already ("pytest"). */
bool requirements_has(const struct requirements *self, const char *name);

/* Appends the canonical file: flags first, then one line an item. Parsing it gives it back. */
void requirements_format(const struct requirements *self, struct buf *out);

#endif
