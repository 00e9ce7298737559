/* head.c - what a head may not have, so that nobody before us reads another request in it (RFC
 * 9112, 2.2, 3.2, 5.1, 6.1-6.3).
 *
 * MHD 0.9.75 takes bare line feeds, folded lines and NULs for what they are not, and hands out what
 * it made of them. But it hands out pointers to where the bytes came in, since it parses in place:
 * each colon and each end of a line was overwritten, nothing was moved. So the parts of a head that
 * had nothing to hide lie end to end - method, a byte, target, a byte, version, two bytes, name, a
 * byte and blanks, value, two bytes, ..., two bytes - and add up to the size of the head. With a
 * lone line feed they are too close, and with a fold or a NUL there is a hole. Later versions of
 * MHD refuse all that when they are told to be strict, and are not measured. */
#include "gateway/http/head.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define HEAD_FIELDS 100

struct walk {
    struct head *head;
    struct fault *fault;
    const char *next; /* where the next field must begin */
    bool measured;    /* whether that is known */
    int fields, hosts, lengths, codings;
};

static int bad(struct fault *f, const char *text) {
    return fault_set(f, 400, ERR_BAD_REQUEST, "", "%s", text);
}

/* A token's characters (RFC 9110, 5.6.2). */
static bool is_token(const char *s, size_t n) {
    static const char others[] = "!#$%&'*+-.^_`|~";
    for (size_t i = 0; i < n; i++)
        if (!((s[i] >= '0' && s[i] <= '9') || ((s[i] | 0x20) >= 'a' && (s[i] | 0x20) <= 'z') ||
              (s[i] && strchr(others, s[i]))))
            return false;
    return n > 0;
}

static bool is_value(const char *s, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (((unsigned char)s[i] < 0x20 && s[i] != '\t') || s[i] == 0x7f)
            return false;
    return true;
}

static int take_length(struct walk *w, const char *value, size_t n) {
    uint64_t length = 0;
    if (w->lengths++ > 0)
        return bad(w->fault, "there is more than one Content-Length");
    if (n == 0 || n > 18)
        return bad(w->fault, "Content-Length is no size");
    for (size_t i = 0; i < n; i++) {
        if (value[i] < '0' || value[i] > '9')
            return bad(w->fault, "Content-Length is no size");
        length = 10 * length + (uint64_t)(value[i] - '0');
    }
    w->head->declared = length;
    return 0;
}

static int take_host(struct walk *w, const char *value, size_t n) {
    if (w->hosts++ > 0)
        return bad(w->fault, "there is more than one Host");
    if (n >= sizeof w->head->host)
        return bad(w->fault, "Host is too long");
    for (size_t i = 0; i < n; i++)
        if (strchr("/\\@?# \t,", value[i]))
            return bad(w->fault, "Host is not a host");
    memcpy(w->head->host, value, n);
    w->head->host[n] = '\0';
    return 0;
}

static int take_field(struct walk *w, const char *name, size_t name_bytes, const char *value,
                      size_t n) {
    if (++w->fields > HEAD_FIELDS)
        return fault_set(w->fault, 431, ERR_LIMIT, "", "there are more than %d headers",
                         HEAD_FIELDS);
    if (!is_token(name, name_bytes))
        return bad(w->fault, "a header's name has a character that may not be there");
    if (!is_value(value, n))
        return bad(w->fault, "a header's value has a control character");
    while (n > 0 && (value[n - 1] == ' ' || value[n - 1] == '\t'))
        n--;
    if (strcasecmp(name, "Content-Length") == 0)
        return take_length(w, value, n);
    if (strcasecmp(name, "Host") == 0)
        return take_host(w, value, n);
    if (strcasecmp(name, "Transfer-Encoding") == 0) {
        if (w->codings++ > 0)
            return bad(w->fault, "there is more than one Transfer-Encoding");
        if (n != 7 || strncasecmp(value, "chunked", 7) != 0)
            return bad(w->fault, "the only Transfer-Encoding that is known is chunked");
        w->head->chunked = true;
    }
    if (strcasecmp(name, "Expect") == 0) {
        if (n != 12 || strncasecmp(value, "100-continue", 12) != 0)
            return fault_set(w->fault, 417, ERR_UNSUPPORTED, "",
                             "the only expectation that is known is 100-continue");
        w->head->waits = true;
    }
    return 0;
}

static enum MHD_Result each_field(void *arg, enum MHD_ValueKind kind, const char *name,
                                  size_t name_bytes, const char *value, size_t bytes) {
    (void)kind;
    struct walk *w = arg;
    if (value == NULL)
        value = "";
    if (w->measured && (name != w->next || value <= name + name_bytes)) {
        (void)bad(w->fault, "the head has a line that is folded, or ends without CR LF");
        return MHD_NO;
    }
    w->next = value + bytes + 2;
    return take_field(w, name, name_bytes, value, bytes) == 0 ? MHD_YES : MHD_NO;
}

bool head_measures(void) {
    return strcmp(MHD_get_version(), "0.9.75") == 0;
}

static bool first_line_is_whole(const struct head *h) {
    return h->target == h->method + strlen(h->method) + 1 &&
           h->version == h->target + h->target_bytes + 1;
}

static int check_whole(struct MHD_Connection *mhd, const struct walk *w, struct fault *f) {
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
    if (w->measured && (info == NULL || w->next + 2 != w->head->method + info->header_size))
        return bad(f, "the head has a line that is folded, or ends without CR LF");
    return 0;
}

int head_check(struct MHD_Connection *mhd, struct head *h, struct fault *f) {
    bool newer = strcmp(h->version, "HTTP/1.1") == 0;
    if (!newer && strcmp(h->version, "HTTP/1.0") != 0)
        return fault_set(f, 505, ERR_BAD_VERSION, "", "only HTTP/1.1 and HTTP/1.0 are spoken");
    if (!is_token(h->method, strlen(h->method)))
        return bad(f, "the method is not a word");
    struct walk w = {.head = h, .fault = f, .measured = head_measures()};
    if (w.measured && !first_line_is_whole(h))
        return bad(f, "the first line is not a method, a target and a version");
    w.next = h->version + strlen(h->version) + 2;
    f->status = 0;
    MHD_get_connection_values_n(mhd, MHD_HEADER_KIND, each_field, &w);
    if (f->status != 0 || check_whole(mhd, &w, f) < 0)
        return -1;
    if (w.lengths && w.codings)
        return bad(f, "there is a Content-Length and a Transfer-Encoding");
    if (w.codings && !newer)
        return bad(f, "HTTP/1.0 has no Transfer-Encoding");
    if (newer && w.hosts == 0)
        return bad(f, "there is no Host");
    return 0;
}
