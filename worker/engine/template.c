/* template.c - each family's words around what people said.
 *
 * What the template writes and what a user or an earlier answer says never share a run, so that the
 * tokenizer can take a mark for a mark only where the template wrote it. */
#include "worker/engine/template.h"

#include <stdlib.h>
#include <string.h>

/* A rendering in the making. After a failure rc is set and nothing more is added. */
struct builder {
    struct run *runs; /* their text.data is set at the end: the block may still move */
    size_t count, capacity;
    uint8_t *block;
    size_t size, room;
    const struct chat_message *messages; /* that are being rendered */
    struct run_span *spans;
    size_t n_spans, span_capacity;
    int rc;
};

static void add_run(struct builder *b, struct run run) {
    if (b->rc == 0 && b->count == b->capacity) {
        size_t capacity = b->capacity * 2 + 16;
        struct run *runs = realloc(b->runs, capacity * sizeof *runs);
        b->rc = runs == NULL ? ERR_NOMEM : 0;
        b->runs = runs == NULL ? b->runs : runs;
        b->capacity = runs == NULL ? b->capacity : capacity;
    }
    if (b->rc == 0) {
        b->runs[b->count++] = run;
    }
}

/* Notes that the last run's last `bytes` bytes, or its picture, are a part of m. */
static void add_span(struct builder *b, const struct chat_message *m, size_t part, size_t skipped,
                     size_t bytes) {
    if (b->rc == 0 && b->n_spans == b->span_capacity) {
        size_t capacity = b->span_capacity * 2 + 16;
        struct run_span *spans = realloc(b->spans, capacity * sizeof *spans);
        b->rc = spans == NULL ? ERR_NOMEM : 0;
        b->spans = spans == NULL ? b->spans : spans;
        b->span_capacity = spans == NULL ? b->span_capacity : capacity;
    }
    if (b->rc == 0) {
        b->spans[b->n_spans++] = (struct run_span){
            .message = (uint32_t)(m - b->messages),
            .part = (uint32_t)part,
            .skipped = skipped,
            .run = b->count - 1,
            .offset = b->runs[b->count - 1].text.size - bytes,
            .bytes = bytes,
        };
    }
}

static bool make_room(struct builder *b, size_t more) {
    size_t wanted;
    if (!size_add(b->size, more, &wanted) || wanted > SIZE_MAX / 4) {
        return false;
    }
    if (wanted > b->room) {
        uint8_t *block = realloc(b->block, wanted * 2);
        if (block == NULL) {
            return false;
        }
        b->block = block;
        b->room = wanted * 2;
    }
    return true;
}

static void add_text(struct builder *b, enum run_kind kind, struct bytes text) {
    if (b->rc != 0 || text.size == 0) {
        return;
    }
    if (!make_room(b, text.size)) {
        b->rc = ERR_NOMEM;
        return;
    }
    memcpy(b->block + b->size, text.data, text.size);
    b->size += text.size;
    if (b->count > 0 && b->runs[b->count - 1].kind == kind) {
        b->runs[b->count - 1].text.size += text.size;
    } else {
        add_run(b, (struct run){.kind = kind, .text = text});
    }
}

static void add_words(struct builder *b, const char *words) {
    add_text(b, RUN_TEMPLATE, (struct bytes){(const uint8_t *)words, strlen(words)});
}

static void add_picture(struct builder *b, uint32_t picture) {
    add_run(b, (struct run){.kind = RUN_PICTURE, .picture = picture});
}

static void discard(struct builder *b) {
    free(b->runs);
    free(b->block);
    free(b->spans);
}

static int finish(struct builder *b, struct rendering *out, struct error *e) {
    if (b->rc != 0) {
        discard(b);
        return error_set(e, b->rc, "no memory to render a prompt of %zu bytes", b->size);
    }
    size_t at = 0;
    for (size_t i = 0; i < b->count; i++) {
        if (b->runs[i].kind != RUN_PICTURE) {
            b->runs[i].text.data = b->block + at;
            at += b->runs[i].text.size;
        }
    }
    *out = (struct rendering){b->runs, b->count, b->block, b->spans, b->n_spans};
    return 0;
}

void rendering_clear(struct rendering *r) {
    free(r->runs);
    free(r->block);
    free(r->spans);
    *r = (struct rendering){0};
}

static bool is_space(uint8_t c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static struct bytes trim_start(struct bytes text) {
    while (text.size > 0 && is_space(text.data[0])) {
        text.data++;
        text.size--;
    }
    return text;
}

static struct bytes trim_end(struct bytes text) {
    while (text.size > 0 && is_space(text.data[text.size - 1])) {
        text.size--;
    }
    return text;
}

/* How a family puts the parts of a message together. */
enum content {
    CONTENT_PLAIN,   /* one behind the other */
    CONTENT_LINES,   /* a line end between two texts */
    CONTENT_TRIMMED, /* the same, without white space at both ends */
};

/* Parts [*first, *last) of m that trimming leaves something of. */
static void trim_parts(const struct chat_message *m, size_t *first, size_t *last) {
    while (*first < *last && !m->parts[*first].is_picture &&
           trim_start(m->parts[*first].text).size == 0) {
        ++*first;
    }
    while (*first < *last && !m->parts[*last - 1].is_picture &&
           trim_start(m->parts[*last - 1].text).size == 0) {
        --*last;
    }
}

/* Returns whether there was anything to add. */
static bool add_content(struct builder *b, const struct chat_message *m, enum content how) {
    size_t first = 0, last = m->n_parts;
    if (how == CONTENT_TRIMMED) {
        trim_parts(m, &first, &last);
    }
    for (size_t i = first; i < last; i++) {
        const struct chat_part *p = &m->parts[i];
        if (p->is_picture) {
            add_picture(b, p->picture);
            add_span(b, m, i, 0, 0);
            continue;
        }
        struct bytes text = p->text;
        if (how == CONTENT_TRIMMED) {
            text = i == first ? trim_start(text) : text;
            text = i + 1 == last ? trim_end(text) : text;
        }
        if (how != CONTENT_PLAIN && i > first && !m->parts[i - 1].is_picture) {
            add_words(b, "\n");
        }
        if (text.size > 0) {
            add_text(b, RUN_USER, text);
            add_span(b, m, i, (size_t)(text.data - p->text.data), text.size);
        }
    }
    return last > first;
}

static void add_smolvlm(struct builder *b, const struct chat_message *m) {
    static const char *const roles[] = {
        [CHAT_SYSTEM] = "System:", [CHAT_USER] = "User:", [CHAT_ASSISTANT] = "Assistant:"};
    add_words(b, roles[m->role]);
    if (m->n_parts == 0 || !m->parts[0].is_picture) {
        add_words(b, " ");
    }
    add_content(b, m, CONTENT_PLAIN);
    add_words(b, "<end_of_utterance>\n");
}

static const char *const plain_roles[] = {
    [CHAT_SYSTEM] = "system", [CHAT_USER] = "user", [CHAT_ASSISTANT] = "assistant"};

static void add_chatml(struct builder *b, const struct chat_message *m) {
    add_words(b, "<|im_start|>");
    add_words(b, plain_roles[m->role]);
    add_words(b, "\n");
    add_content(b, m, CONTENT_LINES);
    add_words(b, "<|im_end|>\n");
}

static void add_llama3(struct builder *b, const struct chat_message *m) {
    add_words(b, "<|start_header_id|>");
    add_words(b, plain_roles[m->role]);
    add_words(b, "<|end_header_id|>\n\n");
    add_content(b, m, CONTENT_TRIMMED);
    add_words(b, "<|eot_id|>");
}

static void add_vicuna(struct builder *b, const struct chat_message *m) {
    static const char *const before[] = {
        [CHAT_SYSTEM] = "", [CHAT_USER] = "USER: ", [CHAT_ASSISTANT] = "ASSISTANT: "};
    static const char *const after[] = {
        [CHAT_SYSTEM] = "\n\n", [CHAT_USER] = "\n", [CHAT_ASSISTANT] = "</s>\n"};
    add_words(b, before[m->role]);
    add_content(b, m, CONTENT_LINES);
    add_words(b, after[m->role]);
}

/* Gemma has no system turn: its text opens the next turn of the user. */
static int add_gemma(struct builder *b, const struct chat_message *messages, size_t n,
                     struct error *e) {
    size_t pending = 0; /* system messages right before this one */
    for (size_t i = 0; i < n; i++) {
        const struct chat_message *m = &messages[i];
        if (m->role == CHAT_SYSTEM) {
            pending++;
            continue;
        }
        if (pending > 0 && m->role != CHAT_USER) {
            break;
        }
        add_words(b, m->role == CHAT_USER ? "<start_of_turn>user\n" : "<start_of_turn>model\n");
        for (; pending > 0; pending--) {
            if (add_content(b, m - pending, CONTENT_TRIMMED)) {
                add_words(b, "\n\n");
            }
        }
        add_content(b, m, CONTENT_TRIMMED);
        add_words(b, "<end_of_turn>\n");
    }
    if (pending > 0) {
        return error_set(e, ERR_BAD_REQUEST,
                         "Gemma's chat template has no turn of its own for a system message: a "
                         "user's message must follow it");
    }
    add_words(b, "<start_of_turn>model\n");
    return 0;
}

/* Nothing is around it, so nothing of the family is in it. What it says stays the user's: a control
 * token's name in it is text. */
static int add_raw(struct builder *b, const struct chat_message *messages, size_t n,
                   struct error *e) {
    if (n != 1) {
        return error_set(e, ERR_BAD_REQUEST, "a raw message must be the only one");
    }
    add_content(b, messages, CONTENT_PLAIN);
    return 0;
}

static bool any_raw(const struct chat_message *messages, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (messages[i].role == CHAT_RAW) {
            return true;
        }
    }
    return false;
}

bool template_leads_answer(enum template_kind kind) {
    return kind == TEMPLATE_SMOLVLM || kind == TEMPLATE_VICUNA;
}

static void add_messages(struct builder *b, const struct chat_message *messages, size_t n,
                         void (*add)(struct builder *, const struct chat_message *)) {
    for (size_t i = 0; i < n; i++) {
        add(b, &messages[i]);
    }
}

static int add_chat(struct builder *b, enum template_kind kind, const struct chat_message *messages,
                    size_t n_messages, bool has_bos, struct error *e) {
    switch (kind) {
    case TEMPLATE_SMOLVLM:
        add_words(b, has_bos ? "" : "<|im_start|>"); /* which is this family's BOS */
        add_messages(b, messages, n_messages, add_smolvlm);
        add_words(b, "Assistant:");
        break;
    case TEMPLATE_CHATML:
        add_messages(b, messages, n_messages, add_chatml);
        add_words(b, "<|im_start|>assistant\n");
        break;
    case TEMPLATE_LLAMA3:
        add_messages(b, messages, n_messages, add_llama3);
        add_words(b, "<|start_header_id|>assistant<|end_header_id|>\n\n");
        break;
    case TEMPLATE_VICUNA:
        add_messages(b, messages, n_messages, add_vicuna);
        add_words(b, "ASSISTANT:");
        break;
    case TEMPLATE_GEMMA:
        return add_gemma(b, messages, n_messages, e);
    }
    return 0;
}

int template_render(enum template_kind kind, const struct chat_message *messages, size_t n_messages,
                    bool has_bos, struct rendering *out, struct error *e) {
    struct builder b = {.messages = messages};
    *out = (struct rendering){0};
    int rc = any_raw(messages, n_messages) ? add_raw(&b, messages, n_messages, e)
                                           : add_chat(&b, kind, messages, n_messages, has_bos, e);
    if (rc != 0) {
        discard(&b);
        return rc;
    }
    return finish(&b, out, e);
}

int rendering_from_marked(struct bytes prompt, struct bytes mark, struct rendering *out,
                          struct error *e) {
    struct builder b = {0};
    *out = (struct rendering){0};
    if (mark.size == 0) {
        return error_set(e, ERR_USAGE, "the mark for pictures is empty");
    }
    for (uint32_t picture = 0;; picture++) {
        const uint8_t *found = memmem(prompt.data, prompt.size, mark.data, mark.size);
        size_t before = found == NULL ? prompt.size : (size_t)(found - prompt.data);
        add_text(&b, RUN_TEMPLATE, (struct bytes){prompt.data, before});
        if (found == NULL) {
            return finish(&b, out, e);
        }
        add_picture(&b, picture);
        prompt.data += before + mark.size;
        prompt.size -= before + mark.size;
    }
}
