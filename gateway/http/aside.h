/* aside.h - long plain strings of a JSON text, kept out of the parser's way.
 *
 * jansson looks at a string byte by byte, several times: 13 ms for a megabyte, in which nobody gets
 * a token. A picture is such a string, and nothing in base64 needs a parser. So long strings
 * without escapes are replaced by short marks, and put back after parsing. Marks are random, so no
 * text can hold one by itself. */
#ifndef QUIRE_GATEWAY_HTTP_ASIDE_H
#define QUIRE_GATEWAY_HTTP_ASIDE_H

#include <jansson.h>
#include <stddef.h>

#define ASIDE_BYTES ((size_t)4096) /* shorter ones stay */
#define ASIDE_MAX 256              /* more stay too */

struct aside {
    size_t count;
    struct {
        const char *text; /* without its quotes */
        size_t bytes;
    } strings[ASIDE_MAX];
    char mark[33];
};

void aside_open(struct aside *a);
/* Takes note of a string in the text between `begin` and `end`: it stands at text, without quotes.
 * Only plain ASCII without escapes is taken, and no member's name. In the text's order. */
void aside_take(struct aside *a, const char *text, size_t bytes, const char *end);
/* A new text with marks for the strings; NULL when memory ran out. free() it. */
char *aside_shorten(const struct aside *a, const char *text, size_t bytes, size_t *shorter);
/* Puts the strings back; -1 when memory ran out. */
int aside_restore(const struct aside *a, json_t **value);

#endif
