/* request_file.h - a request as a JSON file.
 *
 *     {"model": "NAME", "tenant": "NAME",
 *      "messages": [{"role": "system", "parts": [{"text": "You help."}]},
 *                   {"role": "user", "parts": [{"picture": "a.png", "max_pixels": 65536,
 *                                               "detail": "low"}, {"text": "What is it?"}]}]}
 *
 * Pictures are files, relative to this one. Only messages must be there. */
#ifndef QUIRE_CLI_REQUEST_FILE_H
#define QUIRE_CLI_REQUEST_FILE_H

#include "client/quire.h"
#include "common/error.h"

/* *out is freed with quire_request_free, also after a failure (it may be NULL then). A sentence
 * names the file and, where it is the messages' fault, which one. */
int request_file_read(const char *path, struct quire_request **out, struct error *e);

#endif
