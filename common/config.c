/* config.c - the settings table against its three sources.
 *
 * All sources end in set_item, so that a value is judged by the same rule and refused with the same
 * sentence wherever it came from. */
#include "common/config.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <ini.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_ITEMS 64
#define OPTION_BASE 1000 /* getopt values of long flags; above every character */
#define OPTION_NEGATED 2000
#define OPTION_CONFIG 3000
#define OPTION_HELP 3001
#define OPTION_VERSION 3002

int config_parse_bytes(const char *text, int64_t *out) {
    char *end;
    errno = 0;
    long long n = strtoll(text, &end, 10);
    if (end == text || errno != 0 || n < 0)
        return -1;
    static const char suffixes[] = "KMGT";
    int shift = 0;
    if (*end != '\0' && *end != 'B') {
        const char *s = strchr(suffixes, toupper((unsigned char)*end));
        if (s == NULL)
            return -1;
        shift = 10 * (int)(s - suffixes + 1);
        end++;
        if (*end == 'i' && end[1] == 'B')
            end++;
    }
    if (*end == 'B')
        end++;
    if (*end != '\0' || n > (INT64_MAX >> shift))
        return -1;
    *out = (int64_t)n << shift;
    return 0;
}

static int parse_switch(const char *text, bool *out) {
    static const char *const yes[] = {"yes", "true", "on", "1"};
    static const char *const no[] = {"no", "false", "off", "0"};
    for (size_t i = 0; i < 4; i++) {
        if (strcmp(text, yes[i]) == 0) {
            *out = true;
            return 0;
        }
        if (strcmp(text, no[i]) == 0) {
            *out = false;
            return 0;
        }
    }
    return -1;
}

static int set_number(const struct config_item *item, const char *value, const char *source,
                      struct error *e) {
    double n = 0;
    int64_t whole = 0;
    bool ok;
    if (item->kind == CONFIG_BYTES) {
        ok = config_parse_bytes(value, &whole) == 0;
        n = (double)whole;
    } else if (item->kind == CONFIG_INT) {
        char *end;
        errno = 0;
        whole = strtoll(value, &end, 10);
        ok = end != value && *end == '\0' && errno == 0;
        n = (double)whole;
    } else {
        char *end;
        n = strtod(value, &end);
        ok = end != value && *end == '\0' && isfinite(n);
    }
    if (!ok)
        return error_set(e, ERR_USAGE, "%s: %s \"%s\" is not %s", source, item->name, value,
                         item->kind == CONFIG_BYTES ? "a size such as 512M or 2G" : "a number");
    if (n < item->min || n > item->max)
        return error_set(e, ERR_USAGE, "%s: %s %s is outside %.15g to %.15g", source, item->name,
                         value, item->min, item->max);
    if (item->kind == CONFIG_REAL)
        *(double *)item->out = n;
    else
        *(int64_t *)item->out = whole;
    return 0;
}

static int set_item(const struct config_item *item, const char *value, const char *source,
                    struct error *e) {
    switch (item->kind) {
    case CONFIG_TEXT:
        *(const char **)item->out = value;
        return 0;
    case CONFIG_SWITCH:
        if (parse_switch(value, item->out) < 0)
            return error_set(e, ERR_USAGE, "%s: %s \"%s\" is not yes or no", source, item->name,
                             value);
        return 0;
    case CONFIG_LIST: {
        struct config_list *list = item->out;
        if (list->count == CONFIG_LIST_MAX)
            return error_set(e, ERR_USAGE, "%s: %s is given more than %d times", source, item->name,
                             CONFIG_LIST_MAX);
        list->values[list->count++] = value;
        return 0;
    }
    case CONFIG_INT:
    case CONFIG_REAL:
    case CONFIG_BYTES:
        break;
    }
    return set_number(item, value, source, e);
}

/* ---- the file ---- */

struct file_walk {
    struct config *config;
    const char *path;
    struct error *e;
    int result;
};

static int keep_copy(struct config *c, const char *value, const char **out) {
    char **grown = realloc(c->owned, (c->n_owned + 1) * sizeof *grown);
    if (grown == NULL)
        return ERR_NOMEM;
    c->owned = grown;
    char *copy = strdup(value);
    if (copy == NULL)
        return ERR_NOMEM;
    c->owned[c->n_owned++] = copy;
    *out = copy;
    return 0;
}

/* inih's handler: non-zero goes on. */
static int on_file_key(void *user, const char *section, const char *name, const char *value) {
    struct file_walk *walk = user;
    struct config *c = walk->config;
    if (walk->result != 0)
        return 1;
    bool own_section = strcmp(section, c->section) == 0;
    if (!own_section && section[0] != '\0')
        return 1;
    for (size_t i = 0; i < c->n_items; i++) {
        if (strcmp(c->items[i].name, name) != 0 || c->items[i].kind == CONFIG_LIST)
            continue;
        const char *copy;
        walk->result = keep_copy(c, value, &copy);
        if (walk->result == 0)
            walk->result = set_item(&c->items[i], copy, walk->path, walk->e);
        else
            error_set(walk->e, ERR_NOMEM, "%s: memory ran out", walk->path);
        return 1;
    }
    if (own_section)
        walk->result = error_set(walk->e, ERR_USAGE, "%s: [%s] has no setting \"%s\"", walk->path,
                                 section, name);
    return 1;
}

static int read_file(struct config *c, const char *path, bool must_exist, struct error *e) {
    if (access(path, R_OK) != 0) {
        if (!must_exist && errno == ENOENT)
            return 0;
        return error_set(e, ERR_USAGE, "%s: the settings file can't be read: %s", path,
                         strerror(errno));
    }
    struct file_walk walk = {.config = c, .path = path, .e = e};
    int line = ini_parse(path, on_file_key, &walk);
    if (walk.result != 0)
        return walk.result;
    if (line > 0)
        return error_set(e, ERR_USAGE, "%s:%d: not a \"name = value\" line of at most %d bytes",
                         path, line, ini_max_line - 2);
    if (line < 0)
        return error_set(e, ERR_USAGE, "%s: the settings file can't be read", path);
    return 0;
}

static int read_default_file(struct config *c, struct error *e) {
    char path[1024];
    const char *base = getenv("XDG_CONFIG_HOME");
    const char *home = getenv("HOME");
    int n = -1;
    if (base != NULL && base[0] == '/')
        n = snprintf(path, sizeof path, "%s/quire/quire.ini", base);
    else if (home != NULL)
        n = snprintf(path, sizeof path, "%s/.config/quire/quire.ini", home);
    const char *copy;
    if (n > 0 && (size_t)n < sizeof path && access(path, R_OK) == 0)
        return keep_copy(c, path, &copy) == 0 ? read_file(c, copy, false, e)
                                              : error_set(e, ERR_NOMEM, "memory ran out");
    return read_file(c, "/etc/quire/quire.ini", false, e);
}

/* ---- the environment ---- */

static int read_environment(struct config *c, struct error *e) {
    for (size_t i = 0; i < c->n_items; i++) {
        if (c->items[i].kind == CONFIG_LIST)
            continue;
        char name[64];
        int n = snprintf(name, sizeof name, "QUIRE_%s", c->items[i].name);
        if (n < 0 || (size_t)n >= sizeof name)
            continue;
        for (char *p = name; *p; p++)
            *p = *p == '-' ? '_' : (char)toupper((unsigned char)*p);
        const char *value = getenv(name);
        if (value == NULL)
            continue;
        int r = set_item(&c->items[i], value, name, e);
        if (r < 0)
            return r;
    }
    return 0;
}

/* ---- flags ---- */

struct flag_tables {
    struct option longs[2 * MAX_ITEMS + 4];
    char negated[MAX_ITEMS][40];
    char shorts[2 * MAX_ITEMS + 4];
};

static void add_long(struct flag_tables *t, size_t *n, const char *name, int has_arg, int value) {
    t->longs[(*n)++] = (struct option){name, has_arg, NULL, value};
}

static void build_flags(const struct config *c, struct flag_tables *t) {
    memset(t, 0, sizeof *t);
    size_t n = 0, s = 0;
    t->shorts[s++] = ':';
    for (size_t i = 0; i < c->n_items; i++) {
        const struct config_item *item = &c->items[i];
        bool is_switch = item->kind == CONFIG_SWITCH;
        add_long(t, &n, item->name, is_switch ? no_argument : required_argument,
                 OPTION_BASE + (int)i);
        if (is_switch) {
            (void)snprintf(t->negated[i], sizeof t->negated[i], "no-%s", item->name);
            add_long(t, &n, t->negated[i], no_argument, OPTION_NEGATED + (int)i);
        }
        if (item->letter) {
            t->shorts[s++] = item->letter;
            if (!is_switch)
                t->shorts[s++] = ':';
        }
    }
    t->shorts[s++] = 'h';
    add_long(t, &n, "config", required_argument, OPTION_CONFIG);
    add_long(t, &n, "help", no_argument, OPTION_HELP);
    add_long(t, &n, "version", no_argument, OPTION_VERSION);
}

static const struct config_item *item_of_flag(const struct config *c, int flag) {
    if (flag >= OPTION_NEGATED && flag < OPTION_NEGATED + (int)c->n_items)
        return &c->items[flag - OPTION_NEGATED];
    if (flag >= OPTION_BASE && flag < OPTION_BASE + (int)c->n_items)
        return &c->items[flag - OPTION_BASE];
    for (size_t i = 0; i < c->n_items; i++)
        if (c->items[i].letter == flag)
            return &c->items[i];
    return NULL;
}

static void print_help(const struct config *c) {
    printf("Usage: %s\n\n%s\n\nOptions:\n", c->usage, c->summary);
    for (size_t i = 0; i < c->n_items; i++) {
        const struct config_item *item = &c->items[i];
        char left[64];
        (void)snprintf(left, sizeof left, "%c%c%s --%s%s%s", item->letter ? '-' : ' ',
                       item->letter ? item->letter : ' ', item->letter ? "," : " ", item->name,
                       item->argument ? " " : "", item->argument ? item->argument : "");
        const char *line = item->help;
        printf("  %-27s", left);
        if (strlen(left) > 26)
            printf("\n  %-27s", "");
        for (;;) {
            const char *end = strchr(line, '\n');
            printf(" %.*s\n", end ? (int)(end - line) : (int)strlen(line), line);
            if (end == NULL)
                break;
            printf("  %-27s", "");
            line = end + 1;
        }
    }
    printf("      %-23s settings file (default ~/.config/quire/quire.ini)\n"
           "  -h, %-23s this text\n"
           "      %-23s the version\n",
           "--config FILE", "--help", "--version");
    printf(
        "\nEvery option that is given once can also be set as \"name = value\" under [%s] in the\n"
        "settings file, or as QUIRE_NAME in the environment; flags win over the environment, it\n"
        "over the file.\n",
        c->section);
    if (c->epilogue)
        printf("\n%s\n", c->epilogue);
}

/* First pass: only --config, --help and --version, since the file is read before the flags. */
static int scan_flags(struct config *c, const struct flag_tables *t, int argc, char **argv,
                      const char **path, enum config_outcome *outcome, struct error *e) {
    optind = 0;
    opterr = 0;
    int index = 0;
    for (;;) {
        int flag = getopt_long(argc, argv, t->shorts, t->longs, &index);
        if (flag == -1)
            return 0;
        const char *word = argv[optind - 1];
        if (flag == OPTION_CONFIG) {
            *path = optarg;
        } else if (flag == OPTION_HELP || flag == 'h') {
            print_help(c);
            *outcome = CONFIG_EXIT;
            return 0;
        } else if (flag == OPTION_VERSION) {
            printf("%s %s\n", c->program, QUIRE_VERSION);
            *outcome = CONFIG_EXIT;
            return 0;
        } else if (flag == ':') {
            return error_set(e, ERR_USAGE, "%s needs a value; see %s --help", word, c->program);
        } else if (flag == '?') {
            if (optopt > 0 && optopt < 256)
                return error_set(e, ERR_USAGE, "there is no flag -%c; see %s --help", optopt,
                                 c->program);
            return error_set(e, ERR_USAGE, "%s is no flag of %s; see --help", word, c->program);
        }
    }
}

static int apply_flags(struct config *c, const struct flag_tables *t, int argc, char **argv,
                       int *operands, struct error *e) {
    optind = 0;
    for (;;) {
        int flag = getopt_long(argc, argv, t->shorts, t->longs, NULL);
        if (flag == -1)
            break;
        const struct config_item *item = item_of_flag(c, flag);
        if (item == NULL)
            continue;
        const char *value = optarg;
        if (item->kind == CONFIG_SWITCH)
            value = flag >= OPTION_NEGATED ? "no" : "yes";
        int r = set_item(item, value, "flag", e);
        if (r < 0)
            return r;
    }
    *operands = optind;
    return 0;
}

int config_load(struct config *c, int argc, char **argv, int *operands,
                enum config_outcome *outcome, struct error *e) {
    struct flag_tables tables;
    *outcome = CONFIG_RUN;
    if (c->n_items > MAX_ITEMS)
        return error_set(e, ERR_INTERNAL, "%s has more than %d settings", c->program, MAX_ITEMS);
    build_flags(c, &tables);
    const char *path = getenv("QUIRE_CONFIG");
    int r = scan_flags(c, &tables, argc, argv, &path, outcome, e);
    if (r < 0 || *outcome == CONFIG_EXIT)
        return r;
    r = path != NULL && path[0] != '\0' ? read_file(c, path, true, e) : read_default_file(c, e);
    if (r == 0)
        r = read_environment(c, e);
    if (r == 0)
        r = apply_flags(c, &tables, argc, argv, operands, e);
    return r;
}

void config_close(struct config *c) {
    for (size_t i = 0; i < c->n_owned; i++)
        free(c->owned[i]);
    free(c->owned);
    c->owned = NULL;
    c->n_owned = 0;
}
