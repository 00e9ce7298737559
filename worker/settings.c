/* settings.c - the table of settings, and what is checked beyond it. */
#include "worker/settings.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/cpus.h"
#include "worker/engine/engine.h"
#include "worker/engine/team.h"
#include "worker/scheduler.h"

#define MAX_MEMORY_BYTES 1e15
#define MAX_CONTEXT 16777216
#define MAX_DRAIN_SECONDS 86400
#define MAX_STEP_MS 60000

static const char summary[] =
    "Serves one model: takes requests from a broker, answers them, several at a time.\n"
    "The model is a GGUF file; with the vision tower that belongs to it (--mmproj) the worker\n"
    "also sees pictures.";

static const char epilogue[] = "SIGTERM or Ctrl-C: no more requests are taken, those under way are "
                               "finished, the worker goes.\n"
                               "A second one ends it at once.";

struct texts { /* of settings that are more than texts */
    const char *log_level, *cpus;
};

static int load_table(struct settings *s, struct texts *t, int argc, char **argv,
                      enum config_outcome *outcome, struct error *e) {
    const struct config_item items[] = {
        {"model", 'm', CONFIG_TEXT, &s->model, 0, 0, "FILE", "the text model, GGUF"},
        {"mmproj", 0, CONFIG_TEXT, &s->mmproj, 0, 0, "FILE",
         "its vision tower, GGUF; none: text only"},
        {"chat-template", 0, CONFIG_TEXT, &s->chat_template, 0, 0, "NAME",
         "smolvlm, chatml, llama3, vicuna or gemma\n(default: what the model file asks for)"},
        {"broker", 0, CONFIG_TEXT, &s->broker, 0, 0, "ENDPOINT",
         "the broker's socket for workers, ipc://PATH or\ntcp://HOST:PORT (default workers.ipc in "
         "the\nruntime directory)"},
        {"name", 0, CONFIG_TEXT, &s->name, 0, 0, "NAME",
         "unique in the pool (default: host and process id)"},
        {"credits", 0, CONFIG_INT, &s->credits, 1, ENGINE_MAX_SEQUENCES, "N",
         "requests that it holds at a time (4)"},
        {"threads", 't', CONFIG_INT, &s->threads, 0, TEAM_MAX, "N",
         "that compute (default: all CPUs it may use)"},
        {"cpus", 0, CONFIG_TEXT, &t->cpus, 0, 0, "LIST",
         "as 0-7,9: the worker keeps to these, and each thread\nthat computes stays on one of them "
         "(default: the\nsystem moves threads around)"},
        {"kv-memory", 0, CONFIG_BYTES, &s->kv_bytes, 0, MAX_MEMORY_BYTES, "SIZE",
         "for keys and values, as 512M or 2G (default: 1G,\nor a quarter of the free memory if "
         "that is less)"},
        {"kv-type", 0, CONFIG_TEXT, &s->kv_type_name, 0, 0, "TYPE",
         "f16, f32 or q8_0: how keys and values are kept (f16)"},
        {"feature-memory", 0, CONFIG_BYTES, &s->feature_bytes, 0, MAX_MEMORY_BYTES, "SIZE",
         "for what was seen of pictures, to use it again\n(default: 256M, or a sixteenth of the "
         "free "
         "memory if\nthat is less)"},
        {"context", 0, CONFIG_INT, &s->context, 0, MAX_CONTEXT, "N",
         "most positions of a request with its answer, for which\nkv-memory must suffice (default: "
         "the model's, or what\nkv-memory holds)"},
        {"max-step-ms", 0, CONFIG_INT, &s->max_step_ms, 1, MAX_STEP_MS, "N",
         "how long prompts that are being read may delay the\nnext token of others' answers (200)"},
        {"max-pictures", 0, CONFIG_INT, &s->max_pictures, 0, LIMIT_PICTURES, "N",
         "in one request (16)"},
        {"packs", 0, CONFIG_TEXT, &s->packs, 0, 0, "DIR",
         "where packed weights are kept for all workers of\nthe machine; empty: each has its own "
         "copy in memory\n(default: quire in the user's cache directory)"},
        {"drain-seconds", 0, CONFIG_INT, &s->drain_seconds, 0, MAX_DRAIN_SECONDS, "N",
         "to finish requests in after SIGTERM (30)"},
        {"log-level", 0, CONFIG_TEXT, &t->log_level, 0, 0, "LEVEL",
         "debug, info, warn, error or off (info)"},
        {"check", 0, CONFIG_SWITCH, &s->check, 0, 0, NULL,
         "open the model, say in one line what it is, and exit"},
        {"die-with-parent", 0, CONFIG_SWITCH, &s->die_with_parent, 0, 0, NULL,
         "take the end of the parent process for SIGTERM"},
    };
    s->config = (struct config){
        .program = "quire-worker",
        .section = "worker",
        .usage = "quire-worker --model FILE [--mmproj FILE] [OPTION...]",
        .summary = summary,
        .epilogue = epilogue,
        .items = items,
        .n_items = sizeof items / sizeof items[0],
    };
    int operands = argc;
    int rc = config_load(&s->config, argc, argv, &operands, outcome, e);
    s->config.items = NULL; /* this frame's */
    s->config.n_items = 0;
    if (rc == 0 && *outcome == CONFIG_RUN && operands < argc)
        return error_set(e, ERR_USAGE, "\"%s\" is not understood; see quire-worker --help",
                         argv[operands]);
    return rc;
}

static void make_name(struct settings *s) {
    char host[LIMIT_NAME_BYTES + 1] = "worker";
    if (gethostname(host, sizeof host) != 0 || host[0] == '\0')
        strcpy(host, "worker");
    host[40] = '\0'; /* room for a dash and a process id */
    (void)snprintf(s->default_name, sizeof s->default_name, "%s-%ld", host, (long)getpid());
    s->name = s->default_name;
}

/* Without a cache directory each worker has its own copy. */
static void find_packs(struct settings *s) {
    if (pack_dir_default(s->default_packs, sizeof s->default_packs, NULL) == 0)
        s->packs = s->default_packs;
}

static int take_cpus(struct settings *s, const char *text, struct error *e) {
    s->has_cpus = text != NULL && text[0] != '\0';
    if (!s->has_cpus)
        return 0;
    int rc = cpus_parse(text, &s->cpus, e);
    if (rc == 0 && s->threads > CPU_COUNT(&s->cpus))
        rc = error_set(e, ERR_USAGE, "%d threads have no CPU each in %s; say at most --threads %d",
                       (int)s->threads, text, CPU_COUNT(&s->cpus));
    if (rc < 0)
        error_prefix(e, "cpus");
    return rc;
}

static int fill_in(struct settings *s, const struct texts *t, struct error *e) {
    if (log_parse_level(t->log_level, &s->log_level) != 0)
        return error_set(e, ERR_USAGE, "log-level: \"%s\" is not debug, info, warn, error or off",
                         t->log_level);
    int rc = take_cpus(s, t->cpus, e);
    if (rc < 0)
        return rc;
    if (s->model == NULL || s->model[0] == '\0')
        return error_set(e, ERR_USAGE, "no model is named; say --model FILE");
    if (s->mmproj != NULL && s->mmproj[0] == '\0')
        s->mmproj = NULL;
    if (s->chat_template != NULL && s->chat_template[0] == '\0')
        s->chat_template = NULL;
    if (kv_type_parse(s->kv_type_name, &s->kv_type, e) != 0)
        return ERR_USAGE;
    if (s->name == NULL)
        make_name(s);
    if (s->name[0] == '\0' || strlen(s->name) > LIMIT_NAME_BYTES)
        return error_set(e, ERR_USAGE, "name: a name has 1 to %d bytes", LIMIT_NAME_BYTES);
    if (s->packs == NULL)
        find_packs(s);
    if (s->broker == NULL && !s->check) {
        s->broker = s->default_broker;
        return paths_endpoint(s->default_broker, sizeof s->default_broker, "workers", e);
    }
    return 0;
}

int settings_load(struct settings *s, int argc, char **argv, enum config_outcome *outcome,
                  struct error *e) {
    memset(s, 0, sizeof *s);
    s->credits = SETTINGS_CREDITS;
    s->max_pictures = SETTINGS_PICTURES;
    s->drain_seconds = SETTINGS_DRAIN_SECONDS;
    s->max_step_ms = SCHEDULER_MAX_STEP_MS;
    struct texts t = {.log_level = "info"};
    *outcome = CONFIG_RUN;
    int rc = load_table(s, &t, argc, argv, outcome, e);
    if (rc < 0 || *outcome == CONFIG_EXIT)
        return rc;
    return fill_in(s, &t, e);
}

void settings_close(struct settings *s) {
    config_close(&s->config);
}
