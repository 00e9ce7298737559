/* chat.c - quire chat: a conversation, line by line.
 *
 * The whole conversation is sent with every turn, as the protocol wants it; the pool is what
 * remembers. Line editing and history are libedit's. */
#include <editline/readline.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/cli/cli.h"
#include "proto/limits.h"

#define CHAT_MAX_TURNS 512
#define CHAT_MAX_PICTURES 16 /* pictures waiting for the next line */
#define HISTORY_LINES 1000

struct picture {
    void *data;
    size_t size;
};

struct turn {
    enum quire_role role;
    struct picture pictures[CHAT_MAX_PICTURES];
    size_t n_pictures;
    char *text;
};

struct chat {
    struct quire_client *client;
    const char *endpoint, *model;
    struct cli_sampling sampling;
    char *system;
    struct turn turns[CHAT_MAX_TURNS];
    size_t n_turns;
    struct turn next; /* pictures chosen for the line to come */
    int failed;       /* exit code of the last line, 0 when it was answered */
};

static void clear_turn(struct turn *t) {
    for (size_t i = 0; i < t->n_pictures; i++)
        free(t->pictures[i].data);
    free(t->text);
    memset(t, 0, sizeof *t);
}

static void clear_turns(struct chat *c) {
    while (c->n_turns > 0)
        clear_turn(&c->turns[--c->n_turns]);
    clear_turn(&c->next);
}

static void say(const char *text) {
    fprintf(stderr, "%s\n", text);
}

/* ---- commands ---- */

/* Why a file is not to be read, found out before it is opened (opening a pipe would wait). */
static const char *refuse_file(const char *path, struct stat *st) {
    if (stat(path, st) != 0)
        return strerror(errno);
    if (!S_ISREG(st->st_mode))
        return "it is not a file";
    if (st->st_size == 0)
        return "it is empty";
    return st->st_size > LIMIT_PICTURE_BYTES ? "it is larger than a picture may be" : NULL;
}

static const char *read_whole(const char *path, void *data, size_t size) {
    FILE *f = fopen(path, "rbe");
    if (f == NULL)
        return strerror(errno);
    bool whole = fread(data, 1, size, f) == size;
    fclose(f);
    return whole ? NULL : "it can't be read to its end";
}

static int read_picture(const char *path, struct picture *out) {
    struct stat st;
    const char *why = refuse_file(path, &st);
    void *data = NULL;
    if (why == NULL) {
        data = malloc((size_t)st.st_size);
        why = data != NULL ? read_whole(path, data, (size_t)st.st_size) : "memory ran out";
    }
    if (why != NULL) {
        free(data);
        fprintf(stderr, "%s: %s\n", path, why);
        return -1;
    }
    *out = (struct picture){data, (size_t)st.st_size};
    return 0;
}

static int add_picture(struct chat *c, const char *path) {
    if (*path == '\0') {
        say("/image needs a file: /image photo.jpg");
        return -1;
    }
    if (c->next.n_pictures == CHAT_MAX_PICTURES) {
        fprintf(stderr, "at most %d pictures for one line\n", CHAT_MAX_PICTURES);
        return -1;
    }
    if (read_picture(path, &c->next.pictures[c->next.n_pictures]) < 0)
        return -1;
    c->next.n_pictures++;
    fprintf(stderr, "%s goes with your next line\n", path);
    return 0;
}

static void set_system(struct chat *c, const char *text) {
    char *copy = *text ? strdup(text) : NULL;
    if (*text && copy == NULL) {
        say("memory ran out");
        return;
    }
    free(c->system);
    c->system = copy;
    say(copy ? "system message set" : "no system message");
}

/* Takes a line that begins with '/'; false ends the chat. */
static bool command(struct chat *c, char *line) {
    char *rest = line + strcspn(line, " ");
    if (*rest)
        *rest++ = '\0';
    size_t end = strlen(rest);
    while (end > 0 && rest[end - 1] == ' ')
        rest[--end] = '\0';
    if (strcmp(line, "/quit") == 0 || strcmp(line, "/exit") == 0)
        return false;
    if (strcmp(line, "/image") == 0) {
        (void)add_picture(c, rest);
    } else if (strcmp(line, "/system") == 0) {
        set_system(c, rest);
    } else if (strcmp(line, "/clear") == 0) {
        clear_turns(c);
        say("the conversation is empty");
    } else {
        if (strcmp(line, "/help") != 0)
            fprintf(stderr, "there is no %s\n", line);
        say("/image FILE   show a JPEG or PNG with the next line (several are fine)\n"
            "/system TEXT  set the system message; without text: none\n"
            "/clear        forget the conversation\n"
            "/quit         end (so does Ctrl-D); Ctrl-C stops an answer");
    }
    return true;
}

/* ---- turns ---- */

static int add_message(struct quire_request *request, const struct turn *t) {
    int r = quire_request_message(request, t->role);
    for (size_t i = 0; i < t->n_pictures && r == 0; i++)
        r = quire_request_picture(request, t->pictures[i].data, t->pictures[i].size, NULL);
    /* A message has one part at least, also that of an answer of no words. */
    if (r == 0 && (t->text[0] != '\0' || t->n_pictures == 0))
        r = quire_request_text(request, t->text, strlen(t->text));
    return r;
}

static int build(struct chat *c, struct quire_request *request, struct error *e) {
    int r = 0;
    if (c->system != NULL) {
        struct turn system = {.role = QUIRE_SYSTEM, .text = c->system};
        r = add_message(request, &system);
    }
    for (size_t i = 0; i < c->n_turns && r == 0; i++)
        r = add_message(request, &c->turns[i]);
    if (r == 0 && c->model != NULL)
        r = quire_request_model(request, c->model);
    if (r < 0) {
        struct quire_error qe;
        (void)cli_explain(r, "the conversation", &qe);
        return error_set(e, r, "%s", qe.text);
    }
    return cli_sampling_apply(&c->sampling, request, e);
}

/* Connects again after a lost connection, so that a restarted broker costs one line at most. */
static int connected(struct chat *c, struct quire_error *qe) {
    return c->client ? 0 : quire_open(&c->client, c->endpoint, CLI_CONNECT_MS, qe);
}

/* Sends the conversation and prints what comes; the answer's words, never NULL, are the caller's.
 */
static int converse(struct chat *c, char **words, struct quire_error *qe) {
    struct error e = {0};
    struct cli_answer answer = {0};
    struct quire_request *request = quire_request_new();
    int r = request ? build(c, request, &e) : error_set(&e, ERR_NOMEM, "memory ran out");
    *qe = cli_error(&e);
    if (r == 0)
        r = connected(c, qe);
    if (r == 0) {
        r = cli_follow(c->client, request,
                       (struct cli_stream_options){.print = true, .progress = true}, &answer, qe);
        if (r < 0 && answer.end.kind != QUIRE_FAILED) { /* the connection is of no more use */
            quire_close(c->client);
            c->client = NULL;
        }
    }
    if (answer.text.size > 0)
        putchar('\n');
    fflush(stdout); /* before the summary, which goes to standard error */
    if (r == 0 && !cli_text_add(&answer.text, "", 0))
        r = cli_explain(ERR_NOMEM, "the answer", qe);
    if (r == 0)
        cli_print_summary(&answer.end);
    else
        free(answer.text.data);
    *words = r == 0 ? answer.text.data : NULL;
    quire_request_free(request);
    return r;
}

static void answer_turn(struct chat *c) {
    struct quire_error qe;
    char *words;
    if (converse(c, &words, &qe) == 0) {
        c->turns[c->n_turns++] = (struct turn){.role = QUIRE_ASSISTANT, .text = words};
        c->failed = 0;
        return;
    }
    c->failed = cli_fail(&qe);
    /* The turn did not happen; the next line starts from where the last answer ended. */
    struct turn *lost = &c->turns[--c->n_turns];
    if (lost->n_pictures > 0)
        say("its pictures are forgotten too; /image shows them again");
    clear_turn(lost);
}

static void take_line(struct chat *c, const char *line) {
    if (c->n_turns + 2 > CHAT_MAX_TURNS) {
        say("the conversation is as long as it can be; /clear starts a new one");
        return;
    }
    c->next.role = QUIRE_USER;
    c->next.text = strdup(line);
    if (c->next.text == NULL) {
        say("memory ran out");
        return;
    }
    c->turns[c->n_turns++] = c->next;
    memset(&c->next, 0, sizeof c->next);
    answer_turn(c);
}

/* ---- the loop ---- */

static void history_path(char *out, size_t capacity) {
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    out[0] = '\0';
    if (state != NULL && state[0] == '/')
        (void)snprintf(out, capacity, "%s/quire_history", state);
    else if (home != NULL)
        (void)snprintf(out, capacity, "%s/.quire_history", home);
}

/* A line of a file or pipe; libedit would want a terminal's locale for it. NULL at the end. */
static char *read_piped_line(struct chat *c) {
    struct cli_text line = {0};
    int byte;
    while ((byte = getchar()) != EOF && byte != '\n') {
        if (line.size == LIMIT_HEADER_BYTES || !cli_text_add(&line, &(char){(char)byte}, 1)) {
            c->failed = cli_fail_error(&(struct error){ERR_LIMIT, "a line is too long"});
            free(line.data);
            return NULL;
        }
    }
    if (line.size == 0 && byte != EOF)
        (void)cli_text_add(&line, "", 0);
    return line.data;
}

/* At the prompt Ctrl-C does nothing: it came a moment too late to stop an answer, and must not cost
 * the conversation. libedit leaves a blocked signal alone. */
static char *read_typed_line(void) {
    sigset_t interrupt;
    sigemptyset(&interrupt);
    sigaddset(&interrupt, SIGINT);
    sigprocmask(SIG_BLOCK, &interrupt, NULL);
    char *line = readline("> ");
    (void)sigtimedwait(&interrupt, NULL, &(struct timespec){0, 0});
    sigprocmask(SIG_UNBLOCK, &interrupt, NULL);
    return line;
}

/* False after /quit. Frees the line. */
static bool take_input(struct chat *c, char *line) {
    bool go_on = true;
    if (line[0] == '/')
        go_on = command(c, line);
    else if (line[strspn(line, " \t")] != '\0' || c->next.n_pictures > 0)
        take_line(c, line);
    free(line);
    return go_on;
}

static void talk_with_people(struct chat *c) {
    char history[1024], *line;
    bool go_on = true;
    history_path(history, sizeof history);
    rl_initialize();
    using_history();
    stifle_history(HISTORY_LINES);
    if (history[0])
        (void)read_history(history);
    while (go_on && (line = read_typed_line()) != NULL) {
        if (line[0] != '\0')
            add_history(line);
        go_on = take_input(c, line);
    }
    if (history[0])
        (void)write_history(history);
}

/* Returns the exit code of the last line; people have seen it themselves. */
static int talk_with_script(struct chat *c) {
    char *line;
    bool go_on = true;
    while (go_on && (line = read_piped_line(c)) != NULL)
        go_on = take_input(c, line);
    return c->failed;
}

static int run(struct chat *c) {
    struct quire_error qe = {0};
    if (quire_open(&c->client, c->endpoint, CLI_CONNECT_MS, &qe) < 0)
        return cli_fail(&qe);
    int code = 0;
    if (isatty(STDIN_FILENO)) {
        fprintf(stderr, "connected to %s; /help lists the commands, Ctrl-D ends\n",
                quire_endpoint(c->client));
        talk_with_people(c);
    } else {
        code = talk_with_script(c);
    }
    quire_close(c->client);
    return code;
}

int cli_chat(int argc, char **argv) {
    struct chat *c = calloc(1, sizeof *c);
    if (c == NULL)
        return cli_fail_error(&(struct error){ERR_NOMEM, "memory ran out"});
    cli_sampling_default(&c->sampling);
    const char *system = NULL;
    struct config_list pictures = {0};
    struct config_item items[4 + CLI_SAMPLING_ITEMS] = {
        {"system", 's', CONFIG_TEXT, &system, 0, 0, "TEXT", "a system message to begin with"},
        {"image", 'i', CONFIG_LIST, &pictures, 0, 0, "FILE",
         "pictures that go with the first line"},
        {"model-name", 0, CONFIG_TEXT, &c->model, 0, 0, "NAME",
         "which model, when the pool holds several"},
        {"endpoint", 'e', CONFIG_TEXT, &c->endpoint, 0, 0, "ENDPOINT",
         "the broker's address (the local one)"},
    };
    cli_sampling_items(&c->sampling, items + 4);
    struct config config = {.program = "quire chat",
                            .section = "chat",
                            .usage = "quire chat [OPTION...]",
                            .summary = "Talks with the model. /image FILE shows it a picture, "
                                       "/help lists the commands.",
                            .items = items,
                            .n_items = sizeof items / sizeof items[0]};
    int code;
    if (cli_settings(&config, argc, argv, NULL, &code)) {
        if (system)
            set_system(c, system);
        for (size_t i = 0; i < pictures.count && code == 0; i++)
            code = add_picture(c, pictures.values[i]) < 0 ? error_exit_code(ERR_NOT_FOUND) : 0;
        if (code == 0)
            code = run(c);
    }
    config_close(&config);
    clear_turns(c);
    free(c->system);
    free(c);
    return code;
}
