/* way_probe.c - one GET /healthz, which needs no key. */
#include "client/cli/replay/way_probe.h"

#include <curl/curl.h>
#include <stdio.h>

#define PROBE_MS 10000 /* for the gateway to say that it is there */

static size_t drop_bytes(char *data, size_t one, size_t n, void *user) {
    (void)data;
    (void)user;
    return one * n;
}

/* Asks whether a gateway is there, so that a wrong URL is one sentence and not one for each turn.
 */
int way_probe(const char *base, size_t bytes, struct error *e) {
    char url[WAY_URL_BYTES + 32];
    long status = 0;
    (void)snprintf(url, sizeof url, "%.*s/healthz", (int)bytes, base);
    CURL *h = curl_easy_init();
    CURLcode rc = CURLE_OUT_OF_MEMORY;
    if (h != NULL && curl_easy_setopt(h, CURLOPT_URL, url) == CURLE_OK &&
        curl_easy_setopt(h, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
        curl_easy_setopt(h, CURLOPT_WRITEFUNCTION, drop_bytes) == CURLE_OK &&
        curl_easy_setopt(h, CURLOPT_TIMEOUT_MS, (long)PROBE_MS) == CURLE_OK)
        rc = curl_easy_perform(h);
    if (rc == CURLE_OK)
        (void)curl_easy_getinfo(h, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_cleanup(h);
    if (rc == CURLE_URL_MALFORMAT || rc == CURLE_UNSUPPORTED_PROTOCOL)
        return error_set(e, ERR_USAGE,
                         "--http: \"%.*s\" is no URL of a gateway, as "
                         "http://127.0.0.1:8080 is",
                         (int)bytes, base);
    if (rc != CURLE_OK)
        return error_set(e, ERR_TIMEOUT, "no gateway answers at %.*s: %s", (int)bytes, base,
                         curl_easy_strerror(rc));
    if (status != 200)
        return error_set(e, ERR_IO,
                         "what answers at %.*s is no gateway of quire: its /healthz has "
                         "status %ld",
                         (int)bytes, base, status);
    return 0;
}
