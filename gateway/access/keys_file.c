/* keys_file.c - from the key file to a table, or to a sentence that names file, line and section.
 *
 * inih gives names and values, but neither line numbers nor sections without settings, and it takes
 * an indented line for the last value's second half. So it reads through our reader, which counts
 * lines, notes where sections begin and removes indents. */
#include "gateway/access/keys_file.h"

#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/utf8.h"

#define HASH_PREFIX "sha256:"
#define LIST_ROOM 16 /* keys that the table first has room for */

enum setting {
    SET_KEY = 1 << 0,
    SET_TENANT = 1 << 1,
    SET_ADMIN = 1 << 2,
    SET_PRIORITY = 1 << 3,
    SET_IN_FLIGHT = 1 << 4,
    SET_TOKENS = 1 << 5,
};

struct walk {
    FILE *file;
    const char *path;
    struct error *e;
    int result;
    int line;          /* that was read last */
    size_t bytes;      /* read so far */
    int section_line;  /* where the section under way begins; 0: none yet */
    bool section_new;  /* no setting of it was seen */
    unsigned settings; /* seen of it, enum setting */
    struct key *table;
    size_t n, room;
};

static int refuse(struct walk *w, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static int refuse(struct walk *w, int line, const char *format, ...) {
    char text[ERROR_TEXT_BYTES];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    w->result = error_set(w->e, ERR_USAGE, "%s:%d: %s", w->path, line, text);
    return w->result;
}

/* ---- values ---- */

bool keys_file_good_name(const char *text) {
    size_t n = strlen(text);
    return n > 0 && n <= KEYS_NAME_BYTES &&
           strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") == n;
}

static bool good_tenant(const char *text) {
    size_t n = strlen(text);
    if (n == 0 || n > KEYS_TENANT_BYTES || !utf8_valid((const uint8_t *)text, n))
        return false;
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)text[i] < ' ' || text[i] == 0x7f)
            return false;
    return true;
}

static bool parse_hash(const char *value, uint8_t hash[32]) {
    size_t prefix = strlen(HASH_PREFIX), bytes;
    if (strncmp(value, HASH_PREFIX, prefix) != 0 || strlen(value) != prefix + 64)
        return false;
    const char *end;
    return sodium_hex2bin(hash, 32, value + prefix, 64, NULL, &bytes, &end) == 0 && bytes == 32 &&
           *end == '\0';
}

static bool parse_switch(const char *value, bool *out) {
    static const char *const words[] = {"no", "yes", "false", "true", "off", "on", "0", "1"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strcmp(value, words[i]) == 0) {
            *out = i % 2 == 1;
            return true;
        }
    }
    return false;
}

static bool parse_priority(const char *value, int *out) {
    static const char *const words[] = {"low", "normal", "high"};
    for (int i = 0; i < 3; i++) {
        if (strcmp(value, words[i]) == 0) {
            *out = i;
            return true;
        }
    }
    return false;
}

static bool parse_count(const char *value, uint64_t max, uint64_t *out) {
    size_t n = strlen(value);
    if (n == 0 || n > 15 || strspn(value, "0123456789") != n)
        return false;
    *out = strtoull(value, NULL, 10);
    return *out <= max;
}

static int set_value(struct walk *w, struct key *k, enum setting what, const char *value) {
    uint64_t count = 0;
    switch (what) {
    case SET_KEY: /* what is wrong may be the key itself, so the sentence does not repeat it */
        if (!parse_hash(value, k->hash))
            return refuse(w, w->line,
                          "[%s]: key must be \"sha256:\" and 64 hex digits (quire-gateway "
                          "--new-key makes one); the key itself has no place in this file",
                          k->name);
        return 0;
    case SET_TENANT:
        if (!good_tenant(value))
            return refuse(w, w->line, "[%s]: tenant must have 1 to %d bytes of text", k->name,
                          KEYS_TENANT_BYTES);
        (void)snprintf(k->tenant, sizeof k->tenant, "%s", value);
        return 0;
    case SET_ADMIN:
        if (!parse_switch(value, &k->admin))
            return refuse(w, w->line, "[%s]: admin \"%s\" is not yes or no", k->name, value);
        return 0;
    case SET_PRIORITY:
        if (!parse_priority(value, &k->priority))
            return refuse(w, w->line, "[%s]: priority \"%s\" is not low, normal or high", k->name,
                          value);
        return 0;
    case SET_IN_FLIGHT:
        if (!parse_count(value, KEYS_IN_FLIGHT_MAX, &count))
            return refuse(w, w->line, "[%s]: in-flight \"%s\" is not a number from 0 to %d",
                          k->name, value, KEYS_IN_FLIGHT_MAX);
        k->in_flight = (uint32_t)count;
        return 0;
    case SET_TOKENS:
        break;
    }
    if (!parse_count(value, KEYS_TOKENS_MAX, &k->tokens_per_minute))
        return refuse(w, w->line, "[%s]: tokens-per-minute \"%s\" is not a number from 0 to %jd",
                      k->name, value, (intmax_t)KEYS_TOKENS_MAX);
    return 0;
}

/* ---- sections ---- */

/* The section under way is complete: judges it as a whole. */
static int end_section(struct walk *w) {
    if (w->section_line == 0)
        return 0;
    if (w->section_new)
        return refuse(w, w->section_line, "this section has no key");
    struct key *k = &w->table[w->n - 1];
    if (!(w->settings & SET_KEY))
        return refuse(w, w->section_line, "[%s] has no key", k->name);
    if (!(w->settings & SET_TENANT))
        (void)snprintf(k->tenant, sizeof k->tenant, "%s", k->name);
    for (size_t i = 0; i + 1 < w->n; i++)
        if (memcmp(w->table[i].hash, k->hash, sizeof k->hash) == 0)
            return refuse(w, w->section_line, "[%s] has the same key as [%s]", k->name,
                          w->table[i].name);
    return 0;
}

static int make_room(struct walk *w) {
    if (w->n < w->room)
        return 0;
    size_t room = w->room > 0 ? w->room * 2 : LIST_ROOM;
    struct key *table = realloc(w->table, room * sizeof *table);
    if (table == NULL) {
        w->result = error_set(w->e, ERR_NOMEM, "%s: memory ran out", w->path);
        return w->result;
    }
    w->table = table;
    w->room = room;
    return 0;
}

static int begin_key(struct walk *w, const char *name) {
    if (w->section_line == 0)
        return refuse(w, w->line, "a setting before the first [section]");
    if (!keys_file_good_name(name))
        return refuse(w, w->section_line,
                      "a section's name has 1 to %d letters, digits, dots, dashes or underscores",
                      KEYS_NAME_BYTES);
    for (size_t i = 0; i < w->n; i++)
        if (strcmp(w->table[i].name, name) == 0)
            return refuse(w, w->section_line, "there are two sections [%s]", name);
    if (w->n == KEYS_MAX)
        return refuse(w, w->section_line, "more than %d sections", KEYS_MAX);
    if (make_room(w) < 0)
        return w->result;
    struct key *k = &w->table[w->n++];
    *k = (struct key){.priority = 1};
    (void)snprintf(k->name, sizeof k->name, "%s", name);
    w->section_new = false;
    w->settings = 0;
    return 0;
}

/* inih's handler: non-zero goes on. */
static int on_setting(void *user, const char *section, const char *name, const char *value) {
    static const struct {
        const char *name;
        enum setting what;
    } known[] = {
        {"key", SET_KEY},           {"tenant", SET_TENANT},       {"admin", SET_ADMIN},
        {"priority", SET_PRIORITY}, {"in-flight", SET_IN_FLIGHT}, {"tokens-per-minute", SET_TOKENS},
    };
    struct walk *w = user;
    if (w->result < 0)
        return 1;
    if ((w->section_line == 0 || w->section_new) && begin_key(w, section) < 0)
        return 1;
    struct key *k = &w->table[w->n - 1];
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strcmp(known[i].name, name) != 0)
            continue;
        if (w->settings & known[i].what) {
            refuse(w, w->line, "[%s] says %s twice", section, name);
            return 1;
        }
        w->settings |= known[i].what;
        set_value(w, k, known[i].what, value);
        return 1;
    }
    refuse(w, w->line, "[%s] has a setting \"%s\", which there is not", section, name);
    return 1;
}

/* inih's reader, as fgets. Ends the file early once something is wrong. */
static char *read_line(char *text, int room, void *stream) {
    struct walk *w = stream;
    if (w->result < 0 || fgets(text, room, w->file) == NULL)
        return NULL;
    w->line++;
    size_t n = strlen(text);
    w->bytes += n;
    if (w->bytes > KEYS_FILE_BYTES) {
        refuse(w, w->line, "the file has more than %zu bytes", KEYS_FILE_BYTES);
        return NULL;
    }
    if (n == 0 || (text[n - 1] != '\n' && !feof(w->file))) {
        refuse(w, w->line, "a line of more than %d bytes, or a zero byte in it", room - 2);
        return NULL;
    }
    size_t indent = strspn(text, " \t");
    memmove(text, text + indent, n - indent + 1);
    if (text[0] == '[') {
        if (end_section(w) < 0)
            return NULL;
        w->section_line = w->line;
        w->section_new = true;
    }
    return text;
}

/* ---- the file ---- */

/* Opens what only we and root can have written. */
static int open_guarded(const char *path, FILE **out, struct error *e) {
    struct stat s;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return error_set(e, ERR_USAGE, "%s: the key file can't be read: %s", path, strerror(errno));
    int rc = 0;
    if (fstat(fd, &s) != 0)
        rc = error_set(e, ERR_USAGE, "%s: the key file can't be read: %s", path, strerror(errno));
    else if (!S_ISREG(s.st_mode))
        rc = error_set(e, ERR_USAGE, "%s: the key file is not a regular file", path);
    else if (s.st_mode & (S_IWGRP | S_IWOTH))
        rc = error_set(e, ERR_USAGE,
                       "%s: others may write to the key file, and so let themselves in; "
                       "chmod go-w it",
                       path);
    else if (s.st_uid != 0 && s.st_uid != geteuid())
        rc = error_set(e, ERR_USAGE,
                       "%s: the key file belongs to another user (%u), who may write to it; "
                       "chown it to root or to the gateway's user",
                       path, (unsigned)s.st_uid);
    else if ((*out = fdopen(fd, "r")) == NULL)
        rc = error_set(e, ERR_NOMEM, "%s: memory ran out", path);
    if (rc < 0)
        (void)close(fd);
    return rc;
}

int keys_file_read(const char *path, struct key **table, size_t *n, struct error *e) {
    struct walk w = {.path = path, .e = e};
    *table = NULL;
    *n = 0;
    int rc = open_guarded(path, &w.file, e);
    if (rc < 0)
        return rc;
    int line = ini_parse_stream(read_line, &w, on_setting, &w);
    if (w.result == 0 && ferror(w.file))
        w.result = error_set(e, ERR_IO, "%s: the key file can't be read", path);
    if (w.result == 0 && line < 0)
        w.result = error_set(e, ERR_NOMEM, "%s: memory ran out", path);
    if (w.result == 0 && line > 0)
        refuse(&w, line, "not a \"name = value\" line and not a [section]");
    if (w.result == 0)
        end_section(&w);
    if (w.result == 0 && w.n == 0)
        w.result = error_set(e, ERR_USAGE, "%s: the key file has no section, so no key", path);
    (void)fclose(w.file);
    if (w.result < 0) {
        free(w.table);
        return w.result;
    }
    *table = w.table;
    *n = w.n;
    return 0;
}
