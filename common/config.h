/* config.h - a program's settings: one table, read from an INI file, the environment and flags.
 *
 * Later sources win: defaults (what *out holds before), then the file, then QUIRE_* variables, then
 * flags. An item named "kv-memory" is `kv-memory = 2G` in the file, QUIRE_KV_MEMORY and
 * --kv-memory. The file is --config FILE, else QUIRE_CONFIG, else $XDG_CONFIG_HOME/quire/quire.ini
 * (~/.config without the variable), else /etc/quire/quire.ini; only a file that was named must
 * exist. Keys stand in a section of the program's name, or before any section for all programs; an
 * unknown key in the program's own section is an error. */
#ifndef QUIRE_COMMON_CONFIG_H
#define QUIRE_COMMON_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

#define CONFIG_LIST_MAX 64

enum config_kind {
    CONFIG_TEXT,   /* out: const char ** */
    CONFIG_INT,    /* out: int64_t *, min..max */
    CONFIG_REAL,   /* out: double *, min..max */
    CONFIG_BYTES,  /* out: int64_t *, "512M", "2G", "65536"; min..max */
    CONFIG_SWITCH, /* out: bool *; --name and --no-name; yes/no, true/false, on/off, 1/0 elsewhere
                    */
    CONFIG_LIST,   /* out: struct config_list *; a flag that may be given many times; flags only */
};

struct config_list {
    const char *values[CONFIG_LIST_MAX];
    size_t count;
};

struct config_item {
    const char *name;
    char letter; /* short flag, or 0 */
    enum config_kind kind;
    void *out;
    double min, max;
    const char *argument; /* what --help shows after the flag: "N", "FILE" */
    const char *help;     /* one line or two, separated by \n */
};

struct config {
    const char *program;  /* "quire-worker": for --version and messages */
    const char *section;  /* "worker" */
    const char *usage;    /* "quire-worker --model FILE [--mmproj FILE] [OPTION...]" */
    const char *summary;  /* the paragraph under it, with \n */
    const char *epilogue; /* after the options, or NULL */
    const struct config_item *items;
    size_t n_items;
    char **owned; /* copies of values from the file; config_close frees them */
    size_t n_owned;
};

enum config_outcome {
    CONFIG_RUN,  /* settings are read; go on */
    CONFIG_EXIT, /* --help or --version was printed; exit with 0 */
};

/* Reads all sources. *operands is the index in argv of the first operand (argv is permuted so that
 * operands come last). ERR_USAGE with a sentence that names the source and the value. */
int config_load(struct config *c, int argc, char **argv, int *operands,
                enum config_outcome *outcome, struct error *e);
void config_close(struct config *c);

/* "512M" -> 536870912. Suffixes K, M, G, T (powers of 1024), optionally followed by B or iB. */
int config_parse_bytes(const char *text, int64_t *out);

#endif
