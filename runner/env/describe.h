/* describe: what describe.py says about a project, in C.
 *
 * describe.py reads a project's tree without running any of its code and prints one JSON object
 * (its own head has the shape). It is embedded below as text: write it to a file or hand it to
 * `python -I -c`. It runs in the jail like anything that reads strangers' files with a large
 * parser. Pure. */
#ifndef ENV_DESCRIBE_H
#define ENV_DESCRIBE_H

#include "proto/base/err.h"

#include <stdbool.h>
#include <stddef.h>

#define DESCRIBE_MAX_BYTES (8 * 1024 * 1024) /* of its output */

extern const unsigned char describe_py[]; /* the program's text, zero-terminated */
extern const size_t describe_py_len;

/* Strings are never NULL unless said so. */
struct describe {
    char *name;          /* the distribution's own name, normalised, or NULL */
    char *requirements;  /* text for requirements_parse(); empty where nothing is asked for */
    char *constraints;   /* the same form, empty mostly; narrows versions and adds nothing */
    char *source;        /* "requirements.txt", "pyproject.toml [dependency-groups] test", "none" */
    char *why;           /* one sentence for the report */
    char *python;        /* requires-python, or NULL */
    char *pytest_config; /* the file that pytest takes its settings from, or NULL */
    bool src_layout;     /* put <root>/src on the path too */
    bool editable;       /* testmesh.ini: install = editable */
    char *build_requires; /* as `requirements`: what its build needs */
    char *build_backend;  /* PEP 517: "module" or "module:object" */
    char **build_path;    /* folders in the tree that hold the backend */
    size_t build_path_count;
    char **candidates; /* static test modules, relative, byte order */
    size_t candidate_count;
    bool candidates_cut; /* there were more */
    char **notes;        /* for the user */
    size_t note_count;
};

#define DESCRIBE_INIT                                                                              \
    {                                                                                              \
        0                                                                                          \
    }

/* Reads describe.py's output into `self`. Nothing in it is trusted: sizes are bounded, candidates
 * that are no relative path inside the project are left out. Errors: ERR_INVALID. */
int describe_decode(struct describe *self, const char *json, size_t len,
                    struct err *err) ERR_CHECKED;

void describe_fini(struct describe *self);

#define owned_describe __attribute__((cleanup(describe_fini))) struct describe

#endif
