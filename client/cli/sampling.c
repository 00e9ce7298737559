/* sampling.c - the flags that steer an answer. */
#include <errno.h>
#include <stdlib.h>

#include "client/cli/cli.h"
#include "proto/limits.h"

void cli_sampling_default(struct cli_sampling *s) {
    struct quire_options o;
    quire_options_default(&o);
    *s = (struct cli_sampling){
        .temperature = (double)o.temperature,
        .top_p = (double)o.top_p,
        .min_p = (double)o.min_p,
        .repeat_penalty = (double)o.repeat_penalty,
        .presence_penalty = (double)o.presence_penalty,
        .frequency_penalty = (double)o.frequency_penalty,
        .top_k = o.top_k,
        .repeat_last_n = o.repeat_last_n,
        .max_tokens = o.max_tokens,
        .deadline_ms = o.deadline_ms,
    };
    /* People who ask about a picture want the likeliest answer; `--temperature 0.8` is for prose.
     */
    s->temperature = 0;
}

void cli_sampling_items(struct cli_sampling *s, struct config_item *items) {
    const struct config_item all[CLI_SAMPLING_ITEMS] = {
        {"max-tokens", 'n', CONFIG_INT, &s->max_tokens, 1, LIMIT_MAX_TOKENS, "N",
         "the longest answer, in tokens (512)"},
        {"temperature", 0, CONFIG_REAL, &s->temperature, 0, 10, "T",
         "0 takes the likeliest token each time (0)"},
        {"top-k", 0, CONFIG_INT, &s->top_k, 0, 1000000, "K",
         "draw from the K likeliest; 0: off (40)"},
        {"top-p", 0, CONFIG_REAL, &s->top_p, 0, 1, "P", "draw from the top share P; 1: off (0.95)"},
        {"min-p", 0, CONFIG_REAL, &s->min_p, 0, 1, "P",
         "drop what is less likely than P times the best (0.05)"},
        {"repeat-penalty", 0, CONFIG_REAL, &s->repeat_penalty, 0.01, 100, "R",
         "divide the logits of repeated tokens; 1: off (1)"},
        {"presence-penalty", 0, CONFIG_REAL, &s->presence_penalty, -10, 10, "X",
         "subtract from tokens that appeared (0)"},
        {"frequency-penalty", 0, CONFIG_REAL, &s->frequency_penalty, -10, 10, "X",
         "subtract for each time a token appeared (0)"},
        {"repeat-last-n", 0, CONFIG_INT, &s->repeat_last_n, 0, 4096, "N",
         "how many tokens the penalties look at (64)"},
        {"seed", 0, CONFIG_TEXT, &s->seed, 0, 0, "N",
         "the same seed draws the same answer (random)"},
        {"deadline-ms", 0, CONFIG_INT, &s->deadline_ms, 1, LIMIT_DEADLINE_MS, "MS",
         "give up after this long (3600000)"},
    };
    for (int i = 0; i < CLI_SAMPLING_ITEMS; i++)
        items[i] = all[i];
}

int cli_sampling_apply(const struct cli_sampling *s, struct quire_request *request,
                       struct error *e) {
    struct quire_options o;
    quire_options_default(&o);
    o.temperature = (float)s->temperature;
    o.top_p = (float)s->top_p;
    o.min_p = (float)s->min_p;
    o.repeat_penalty = (float)s->repeat_penalty;
    o.presence_penalty = (float)s->presence_penalty;
    o.frequency_penalty = (float)s->frequency_penalty;
    o.top_k = (int32_t)s->top_k;
    o.repeat_last_n = (int32_t)s->repeat_last_n;
    o.max_tokens = (uint32_t)s->max_tokens;
    o.deadline_ms = (uint32_t)s->deadline_ms;
    if (s->seed != NULL) {
        char *end;
        errno = 0;
        o.seed = strtoull(s->seed, &end, 10);
        o.has_seed = true;
        if (end == s->seed || *end != '\0' || errno != 0 || s->seed[0] == '-')
            return error_set(e, ERR_USAGE, "--seed \"%s\" is not a whole number of 64 bits",
                             s->seed);
    }
    quire_request_options(request, &o);
    return 0;
}
