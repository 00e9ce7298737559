/* template_choose.c - which family a GGUF's chat template belongs to.
 *
 * Nothing here runs a Jinja template. Each family's marks can't be missing from a template that
 * asks for them, so the marks tell the family; where a family has a relative with the same marks
 * and other white space, the template is refused, so that no model gets prompts it was not trained
 * on. */
#include "worker/engine/template.h"

#include <ctype.h>
#include <string.h>

#include "common/log.h"

static const char *const names[] = {
    [TEMPLATE_SMOLVLM] = "smolvlm", [TEMPLATE_CHATML] = "chatml", [TEMPLATE_LLAMA3] = "llama3",
    [TEMPLATE_VICUNA] = "vicuna",   [TEMPLATE_GEMMA] = "gemma",
};

#define ALL_NAMES "smolvlm, chatml, llama3, vicuna or gemma"

const char *template_name(enum template_kind kind) {
    return kind >= TEMPLATE_SMOLVLM && kind <= TEMPLATE_GEMMA ? names[kind] : "unknown";
}

static bool has(struct bytes source, const char *mark) {
    return memmem(source.data, source.size, mark, strlen(mark)) != NULL;
}

const char *template_tools(enum template_kind kind, struct bytes source) {
    return kind == TEMPLATE_CHATML && has(source, "<tool_call>") ? "hermes" : "";
}

/* Families that people are likely to meet and that this build can't render. */
static const struct {
    const char *mark, *family;
} others[] = {
    {"[INST]", "Llama-2 or Mistral"},
    {"<|user|>", "Zephyr or Phi"},
    {"<|start_of_role|>", "Granite"},
    {"<|START_OF_TURN_TOKEN|>", "Command-R"},
    {"<\uFF5CUser\uFF5C>", "DeepSeek"},
    {"<|start|>", "Harmony"},
    {"<|turn>", "Gemma-4"},
    {"### Instruction:", "Alpaca"},
    {"SYSTEM: ", "Orca"},
};

static int by_name(const char *name, enum template_kind *out, struct error *e) {
    for (int kind = TEMPLATE_SMOLVLM; kind <= TEMPLATE_GEMMA; kind++) {
        if (strcmp(name, names[kind]) == 0) {
            *out = (enum template_kind)kind;
            return 0;
        }
    }
    return error_set(e, ERR_UNSUPPORTED,
                     "there is no chat template '%.64s'; --chat-template takes " ALL_NAMES, name);
}

/* Copies the head of source with what can't be printed, and quotes, left out. */
static void copy_head(struct bytes source, char *out, size_t size) {
    size_t n = 0;
    for (size_t i = 0; i < source.size && n + 1 < size; i++) {
        if (isprint(source.data[i]) && source.data[i] != '\'') {
            out[n++] = (char)source.data[i];
        }
    }
    out[n] = '\0';
}

static int refuse(struct bytes source, struct error *e) {
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        if (has(source, others[i].mark)) {
            return error_set(e, ERR_UNSUPPORTED,
                             "the file's chat template is of the family %s (it has %s), which is "
                             "not supported; choose another with --chat-template NAME: " ALL_NAMES,
                             others[i].family, others[i].mark);
        }
    }
    char head[81];
    copy_head(source, head, sizeof head);
    return error_set(e, ERR_UNSUPPORTED,
                     "the file's chat template is not known (it begins '%s'); choose one with "
                     "--chat-template NAME: " ALL_NAMES,
                     head);
}

int template_choose(struct bytes source, const char *name, enum template_kind *out,
                    struct error *e) {
    if (name != NULL) {
        return by_name(name, out, e);
    }
    if (source.size == 0) {
        log_warn("chat-template-missing", "using=chatml choose=--chat-template");
        *out = TEMPLATE_CHATML;
    } else if (has(source, "<|im_start|>")) {
        *out = has(source, "<end_of_utterance>") ? TEMPLATE_SMOLVLM : TEMPLATE_CHATML;
    } else if (has(source, "<start_of_turn>")) {
        *out = TEMPLATE_GEMMA;
    } else if (has(source, "<|start_header_id|>") && has(source, "<|end_header_id|>")) {
        *out = TEMPLATE_LLAMA3;
    } else if (has(source, "USER: ") && has(source, "ASSISTANT: ") && !has(source, "SYSTEM: ")) {
        *out = TEMPLATE_VICUNA;
    } else {
        return refuse(source, e);
    }
    return 0;
}
