/* proxies.c - addresses as 16 bytes, IPv4 mapped into IPv6, so that one comparison does for both.
 */
#include "gateway/http/proxies.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct network {
    uint8_t address[16];
    int bits; /* of 128 */
};
struct proxies {
    struct network networks[PROXIES_MAX];
    size_t n;
};

static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static void bytes_of(const struct sockaddr_storage *a, uint8_t out[16]) {
    if (a->ss_family == AF_INET) {
        memcpy(out, mapped, 12);
        memcpy(out + 12, &((const struct sockaddr_in *)a)->sin_addr, 4);
    } else {
        memcpy(out, &((const struct sockaddr_in6 *)a)->sin6_addr, 16);
    }
}

/* False when it is no address. *bits: of its family, 32 or 128. */
static bool parse(const char *text, uint8_t out[16], int *bits) {
    *bits = 32;
    memcpy(out, mapped, 12);
    if (inet_pton(AF_INET, text, out + 12) == 1)
        return true;
    *bits = 128;
    return inet_pton(AF_INET6, text, out) == 1;
}

static bool inside(const struct network *n, const uint8_t a[16]) {
    int whole = n->bits / 8, rest = n->bits % 8;
    if (memcmp(n->address, a, (size_t)whole) != 0)
        return false;
    return rest == 0 || ((n->address[whole] ^ a[whole]) >> (8 - rest)) == 0;
}

static bool trusted(const struct proxies *p, const uint8_t a[16]) {
    for (size_t i = 0; i < p->n; i++)
        if (inside(&p->networks[i], a))
            return true;
    return false;
}

static int add_network(struct proxies *p, char *word, struct error *e) {
    if (p->n == PROXIES_MAX)
        return error_set(e, ERR_USAGE, "trusted-proxies: more than %d", PROXIES_MAX);
    char *slash = strchr(word, '/');
    if (slash)
        *slash = '\0';
    int family, bits;
    struct network *n = &p->networks[p->n];
    if (!parse(word, n->address, &family))
        return error_set(e, ERR_USAGE, "trusted-proxies: \"%s\" is no address", word);
    bits = family;
    if (slash) {
        char *end;
        long given = strtol(slash + 1, &end, 10);
        if (end == slash + 1 || *end || given < 0 || given > family)
            return error_set(e, ERR_USAGE, "trusted-proxies: \"%s/%s\" is no network", word,
                             slash + 1);
        bits = (int)given;
    }
    n->bits = bits + 128 - family;
    p->n++;
    return 0;
}

int proxies_open(struct proxies **out, const char *list, struct error *e) {
    *out = NULL;
    struct proxies *p = calloc(1, sizeof *p);
    char *copy = strdup(list ? list : "");
    int rc = p && copy ? 0 : error_set(e, ERR_NOMEM, "memory ran out");
    char *rest = NULL;
    for (char *word = rc == 0 ? strtok_r(copy, ", ", &rest) : NULL; word && rc == 0;
         word = strtok_r(NULL, ", ", &rest))
        rc = add_network(p, word, e);
    free(copy);
    if (rc != 0) {
        free(p);
        return rc;
    }
    *out = p;
    return 0;
}

void proxies_close(struct proxies *p) {
    free(p);
}

static void write_text(const uint8_t a[16], char out[PROXIES_TEXT_BYTES]) {
    if (memcmp(a, mapped, 12) == 0)
        (void)inet_ntop(AF_INET, a + 12, out, PROXIES_TEXT_BYTES);
    else
        (void)inet_ntop(AF_INET6, a, out, PROXIES_TEXT_BYTES);
}

void proxies_text(const struct sockaddr_storage *peer, char out[PROXIES_TEXT_BYTES]) {
    uint8_t a[16];
    bytes_of(peer, a);
    write_text(a, out);
}

static bool is_loopback(const uint8_t a[16]) {
    static const uint8_t one[16] = {[15] = 1};
    return memcmp(a, one, 16) == 0 || (memcmp(a, mapped, 12) == 0 && a[12] == 127);
}

bool proxies_loopback(const struct sockaddr_storage *peer) {
    uint8_t a[16];
    bytes_of(peer, a);
    return is_loopback(a);
}

bool proxies_is_loopback(const char *address) {
    uint8_t a[16];
    int bits;
    return parse(address, a, &bits) && is_loopback(a);
}

void proxies_client(const struct proxies *p, const struct sockaddr_storage *peer,
                    const char *forwarded, char out[PROXIES_TEXT_BYTES]) {
    uint8_t a[16];
    bytes_of(peer, a);
    write_text(a, out);
    /* From the right: each trusted proxy has added whom it saw. What stands left of the first that
     * is not trusted is hearsay. */
    size_t end = forwarded ? strlen(forwarded) : 0;
    while (end > 0 && trusted(p, a)) {
        size_t start = end;
        while (start > 0 && forwarded[start - 1] != ',')
            start--;
        char word[64];
        size_t from = start, to = end;
        while (from < to && forwarded[from] == ' ')
            from++;
        while (to > from && forwarded[to - 1] == ' ')
            to--;
        int bits;
        (void)snprintf(word, sizeof word, "%.*s", (int)(to - from), forwarded + from);
        if (to - from >= sizeof word || !parse(word, a, &bits))
            return;
        write_text(a, out);
        end = start > 0 ? start - 1 : 0;
    }
}
