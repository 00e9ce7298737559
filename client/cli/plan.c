/* plan.c - what quire up starts: the programs beside it, the model, the endpoints, and the flags
 * that say so to each child. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "client/cli/places.h"
#include "client/cli/up.h"
#include "common/log.h"
#include "common/paths.h"

#define DEMO_TEXT "quire-demo.gguf"
#define DEMO_MMPROJ "quire-demo-mmproj.gguf"

void up_defaults(struct up *u) {
    u->workers = 2;
    u->drain_seconds = 5;
    u->log_level = "warn";
}

void up_pool_items(struct up *u, struct config_item *items) {
    const struct config_item all[UP_POOL_ITEMS] = {
        {"model", 'm', CONFIG_TEXT, &u->model, 0, 0, "FILE",
         "the text model, a GGUF (the demo model)"},
        {"mmproj", 0, CONFIG_TEXT, &u->mmproj, 0, 0, "FILE", "its vision tower, a GGUF"},
        {"threads", 't', CONFIG_INT, &u->threads, 1, UP_MAX_THREADS, "N",
         "threads of each worker (CPUs / workers)"},
        {"cpus", 0, CONFIG_TEXT, &u->cpus, 0, 0, "LIST",
         "the workers compute on these CPUs only, as 0-7,9,\neach on some of its own (implies "
         "pin)"},
        {"pin", 0, CONFIG_SWITCH, &u->pin, 0, 0, NULL,
         "each worker keeps to CPUs of its own, whole NUMA nodes\nif it can, and each thread to "
         "one "
         "of them"},
        {"kv-memory", 0, CONFIG_BYTES, &u->kv_bytes, 1 << 20, 1e15, "SIZE",
         "memory for keys and values of each worker\n(up to 1G, all together a quarter of the "
         "machine's)"},
        {"kv-type", 0, CONFIG_TEXT, &u->kv_type, 0, 0, "TYPE",
         "f16, f32 or q8_0: how keys and values are kept (f16)"},
        {"feature-memory", 0, CONFIG_BYTES, &u->feature_bytes, 1, 1e15, "SIZE",
         "memory for embeddings of pictures of each worker"},
        {"credits", 0, CONFIG_INT, &u->credits, 1, UP_MAX_CREDITS, "N",
         "requests a worker takes at a time"},
        {"max-step-ms", 0, CONFIG_INT, &u->max_step_ms, 1, UP_MAX_STEP_MS, "N",
         "how long prompts that are being read may delay the\nnext token of others' answers (200)"},
        {"context", 0, CONFIG_INT, &u->context, 16, 1e7, "N",
         "the longest prompt and answer, in positions"},
        {"packs", 0, CONFIG_TEXT, &u->packs, 0, 0, "DIR",
         "where packed weights are kept for all workers; empty:\neach worker has its own copy in "
         "memory (quire in the\nuser's cache directory)"},
        {"chat-template", 0, CONFIG_TEXT, &u->template, 0, 0, "NAME",
         "smolvlm, chatml, llama3, vicuna or gemma"},
        {"policy", 0, CONFIG_TEXT, &u->policy, 0, 0, "NAME",
         "which worker gets a request: earliest (first token),\nleast-loaded or round-robin "
         "(earliest)"},
        {"index", 0, CONFIG_TEXT, &u->index, 0, 0, "DIR",
         "where the index of held segments is kept, or off"},
        {"index-links", 0, CONFIG_INT, &u->index_links, 1, 1e12, "N",
         "how many segments the broker remembers"},
        {"secret", 0, CONFIG_TEXT, &u->secret, 0, 0, "FILE",
         "the deployment's secret, made when it is missing"},
        {"log-level", 0, CONFIG_TEXT, &u->log_level, 0, 0, "LEVEL",
         "debug, info, warn, error or off (warn)"},
    };
    for (int i = 0; i < UP_POOL_ITEMS; i++)
        items[i] = all[i];
}

static bool serves_http(const struct up *u) {
    return u->http != NULL && strcmp(u->http, "off") != 0;
}

static int find_programs(struct up *u, struct error *e) {
    ssize_t n = readlink("/proc/self/exe", u->bin_dir, sizeof u->bin_dir - 1);
    if (n < 0)
        return error_set(e, ERR_IO, "/proc/self/exe: %s", strerror(errno));
    u->bin_dir[n] = '\0';
    *strrchr(u->bin_dir, '/') = '\0';
    (void)snprintf(u->broker_path, sizeof u->broker_path, "%s/quire-broker", u->bin_dir);
    (void)snprintf(u->worker_path, sizeof u->worker_path, "%s/quire-worker", u->bin_dir);
    (void)snprintf(u->gateway_path, sizeof u->gateway_path, "%s/quire-gateway", u->bin_dir);
    const char *paths[] = {u->broker_path, u->worker_path, serves_http(u) ? u->gateway_path : NULL};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++)
        if (paths[i] != NULL && access(paths[i], X_OK) != 0)
            return error_set(e, ERR_NOT_FOUND,
                             "%s is not there; quire's other programs belong beside quire",
                             paths[i]);
    return 0;
}

/* The demo model lies beside an installed quire, or in the source tree that a build belongs to. */
static int find_demo(struct up *u, struct error *e) {
    static const char *const places[] = {"../share/quire/demo", "../../../deploy/demo"};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        (void)snprintf(u->demo_text, sizeof u->demo_text, "%.900s/%s/" DEMO_TEXT, u->bin_dir,
                       places[i]);
        (void)snprintf(u->demo_mmproj, sizeof u->demo_mmproj, "%.900s/%s/" DEMO_MMPROJ, u->bin_dir,
                       places[i]);
        if (access(u->demo_text, R_OK) == 0 && access(u->demo_mmproj, R_OK) == 0) {
            u->model = u->demo_text;
            u->mmproj = u->demo_mmproj;
            return 0;
        }
    }
    return error_set(
        e, ERR_NOT_FOUND,
        "the demo model is not beside this program; name one with --model and --mmproj");
}

static void add(struct child *c, const char *word) {
    for (int i = 0; i < UP_MAX_ARGUMENTS; i++) {
        if (c->argv[i] == NULL) {
            c->argv[i] = (char *)(uintptr_t)word; /* execv does not change it */
            return;
        }
    }
}

static void add_pair(struct child *c, const char *flag, const char *value) {
    if (value == NULL)
        return;
    add(c, flag);
    add(c, value);
}

static const char *number(struct up *u, int slot, int64_t n) {
    (void)snprintf(u->numbers[slot], sizeof u->numbers[slot], "%" PRId64, n);
    return n > 0 ? u->numbers[slot] : NULL;
}

static void describe_gateway(struct up *u) {
    struct child *c = &u->children[u->n_children++];
    (void)snprintf(c->name, sizeof c->name, "gateway");
    c->optional = u->http_usual && u->keys == NULL;
    add(c, u->gateway_path);
    /* An address that nobody chose here may stand among the gateway's own settings. */
    add_pair(c, "--http", u->http_usual ? NULL : u->http);
    add_pair(c, "--endpoint", u->reach_clients);
    add_pair(c, "--keys", u->keys);
    add_pair(c, "--log-level", u->log_level);
}

static void describe_children(struct up *u) {
    struct child *broker = &u->children[0];
    (void)snprintf(broker->name, sizeof broker->name, "broker");
    add(broker, u->broker_path);
    add_pair(broker, "--clients", u->clients);
    add_pair(broker, "--workers", u->workers_endpoint);
    add_pair(broker, "--policy", u->policy);
    add_pair(broker, "--index", u->index);
    add_pair(broker, "--index-links", number(u, 6, u->index_links));
    add_pair(broker, "--secret", u->secret);
    add_pair(broker, "--log-level", u->log_level);
    const char *step = number(u, 0, u->max_step_ms), *credits = number(u, 1, u->credits);
    const char *kv = number(u, 2, u->kv_bytes), *context = number(u, 3, u->context);
    const char *drain = number(u, 4, u->drain_seconds), *features = number(u, 5, u->feature_bytes);
    for (int64_t i = 1; i <= u->workers; i++) {
        struct child *w = &u->children[i];
        (void)snprintf(w->name, sizeof w->name, "worker-%" PRId64, i);
        add(w, u->worker_path);
        add_pair(w, "--name", w->name);
        add_pair(w, "--broker", u->reach_workers);
        add_pair(w, "--model", u->model);
        add_pair(w, "--mmproj", u->mmproj);
        add_pair(w, "--chat-template", u->template);
        add_pair(w, "--threads", u->shares[i - 1].threads_text);
        add_pair(w, "--cpus", u->shares[i - 1].cpus[0] != '\0' ? u->shares[i - 1].cpus : NULL);
        add_pair(w, "--max-step-ms", step);
        add_pair(w, "--credits", credits);
        add_pair(w, "--kv-memory", kv);
        add_pair(w, "--kv-type", u->kv_type);
        add_pair(w, "--feature-memory", features);
        add_pair(w, "--packs", u->packs);
        add_pair(w, "--context", context);
        add_pair(w, "--drain-seconds", drain);
        add_pair(w, "--log-level", u->log_level);
    }
    u->n_children = (size_t)u->workers + 1;
    if (serves_http(u))
        describe_gateway(u);
}

/* What the broker is to serve (`which` in the runtime directory unless the flag says otherwise),
 * and where that is reached: the first of several, with this machine for tcp's "every address". */
static int choose_endpoint(const char *flag, const char *which, char *served, char *reached,
                           struct error *e) {
    static const char any[] = "tcp://*:";
    int r = flag == NULL ? paths_endpoint(served, UP_ENDPOINTS_BYTES, which, e) : 0;
    if (r == 0 && flag != NULL && strlen(flag) >= UP_ENDPOINTS_BYTES)
        r = error_set(e, ERR_USAGE, "the endpoints for %s have more than %d bytes", which,
                      UP_ENDPOINTS_BYTES - 1);
    if (r < 0)
        return r;
    if (flag != NULL)
        strcpy(served, flag);
    int first = (int)strcspn(served, ",");
    int n = strncmp(served, any, sizeof any - 1) == 0
                ? snprintf(reached, UP_ENDPOINTS_BYTES, "tcp://127.0.0.1:%.*s",
                           first - (int)(sizeof any - 1), served + sizeof any - 1)
                : snprintf(reached, UP_ENDPOINTS_BYTES, "%.*s", first, served);
    return n < UP_ENDPOINTS_BYTES ? 0 : error_set(e, ERR_USAGE, "%s is too long", served);
}

static int64_t memory_bytes(void) {
    return (int64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE);
}

static int64_t within(int64_t n, int64_t least, int64_t most) {
    return n < least ? least : n > most ? most : n;
}

/* The CPUs for the whole pool: those that were named, or all that we may use. */
static int choose_cpus(const struct up *u, cpu_set_t *out, struct error *e) {
    cpu_set_t allowed, named;
    cpus_allowed(&allowed);
    *out = allowed;
    if (u->cpus == NULL || u->cpus[0] == '\0')
        return 0;
    int r = cpus_parse(u->cpus, &named, e);
    CPU_AND(out, &named, &allowed);
    if (r == 0 && !CPU_EQUAL(out, &named)) {
        char text[CPUS_TEXT_BYTES];
        cpus_write(&allowed, text);
        r = error_set(e, ERR_USAGE, "%.200s: not all of these are ours; we may use %.200s", u->cpus,
                      text);
    }
    if (r < 0)
        error_prefix(e, "cpus");
    return r;
}

/* CPUs that no other worker has, and at most one thread for each. */
static int pin_workers(struct up *u, const cpu_set_t *cpus, struct error *e) {
    struct place places[CPU_SETSIZE];
    cpu_set_t sets[UP_MAX_WORKERS];
    int n = places_read("/sys", cpus, places), usable = cpus_usable();
    if (u->workers > n)
        return error_set(e, ERR_USAGE, "%d workers can't have a CPU each of %d", (int)u->workers,
                         n);
    places_divide(places, n, (int)u->workers, sets);
    for (int64_t i = 0; i < u->workers; i++) {
        int own = CPU_COUNT(&sets[i]);
        if (u->threads > own)
            return error_set(e, ERR_USAGE,
                             "%d threads can't have a CPU each where a worker gets %d of them",
                             (int)u->threads, own);
        u->shares[i].threads = usable < n ? own * usable / n : own; /* less time than CPUs */
        cpus_write(&sets[i], u->shares[i].cpus);
    }
    return 0;
}

/* Unless somebody says how many threads, all workers together have no more than can run. */
static int share_machine(struct up *u, struct error *e) {
    cpu_set_t cpus;
    int r = choose_cpus(u, &cpus, e), usable = cpus_usable(), workers = (int)u->workers;
    for (int i = 0; i < workers; i++)
        u->shares[i].threads = usable * (i + 1) / workers - usable * i / workers;
    if (r == 0 && (u->pin || (u->cpus != NULL && u->cpus[0] != '\0')))
        r = pin_workers(u, &cpus, e);
    else if (workers > usable)
        log_warn("few-cpus", "cpus=%d workers=%d They will take turns.", usable, workers);
    for (int i = 0; i < workers; i++) {
        struct share *share = &u->shares[i];
        if (u->threads > 0)
            share->threads = (int)u->threads;
        (void)snprintf(share->threads_text, sizeof share->threads_text, "%d",
                       (int)within(share->threads, 1, UP_MAX_THREADS));
    }
    return r;
}

int up_plan(struct up *u, struct error *e) {
    int r = find_programs(u, e);
    if (r == 0 && u->model == NULL)
        r = find_demo(u, e);
    if (r == 0)
        r = choose_endpoint(u->clients_flag, "clients", u->clients, u->reach_clients, e);
    if (r == 0)
        r = choose_endpoint(u->endpoint_flag, "workers", u->workers_endpoint, u->reach_workers, e);
    if (r < 0)
        return r;
    r = share_machine(u, e);
    if (r < 0)
        return r;
    if (u->kv_bytes == 0)
        u->kv_bytes =
            within(memory_bytes() / UP_KV_SHARE / u->workers, UP_KV_MIN_BYTES, UP_KV_MAX_BYTES);
    describe_children(u);
    return 0;
}
