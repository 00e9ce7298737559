/* views_stage.h - a gateway's views with nothing behind them: exchanges that keep what they were
 * told, and an observer that the test answers for. It takes the places of gateway/http/exchange.h,
 * gateway/pool/observer.h, pool_counts, server_figures and keys_get. */
#ifndef QUIRE_TESTS_SUPPORT_VIEWS_STAGE_H
#define QUIRE_TESTS_SUPPORT_VIEWS_STAGE_H

#include "gateway/access/keys.h"
#include "gateway/gateway.h"
#include "gateway/figures/figures.h"
#include "gateway/http/exchange.h"
#include "gateway/pool/observer.h"
#include "gateway/text.h"

struct exchange { /* zero it, then say what is asked */
    struct caller caller;
    const char *tail, *limit, *body;

    int status;              /* 0: not answered yet */
    struct text text;        /* the body, or all events */
    bool began, ended, slow; /* slow: the next push cuts it off */
    void (*gone)(void *arg);
    void *gone_arg;
};

struct stage_question {
    enum observer_question what;
    char worker[65];
    uint8_t id[16];
    void (*answered)(void *arg, const struct observer_answer *a);
    void *arg;
};
#define STAGE_QUESTIONS 64

struct stage {
    struct gateway gateway;
    struct snapshot snapshot;
    struct key key; /* that keys_get gives, when has_key */
    bool has_key;
    bool full; /* the observer takes no questions */
    struct stage_question questions[STAGE_QUESTIONS];
    size_t n_questions; /* asked and not answered */
};
extern struct stage stage;

void stage_open(bool keys); /* figures and views, with a key file or not */
void stage_close(void);
void stage_snapshot(void); /* the observer has a new one */
/* Answers the oldest question; an explanation is freed with free(). */
void stage_answer(int rc, const char *text, struct quire_explanation *explanation);

/* Handles one request; fails when there is no such route. tail: with '*'. */
void stage_handle(struct exchange *x, const char *method, const char *path);
/* The reader leaves (or has read all). */
void stage_leave(struct exchange *x);
/* Parses the answer. */
json_t *stage_json(const struct exchange *x);
/* How often `words` stand in what was sent. */
size_t stage_count(const struct exchange *x, const char *words);

#endif
