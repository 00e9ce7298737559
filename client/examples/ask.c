/* ask.c - a question about a picture, and the answer as it comes.
 *
 *     quire-example-ask photo.jpg "What is in the picture?" */
#include <stdio.h>
#include <string.h>

#include "client/quire.h"

#define CONNECT_MS 2000

static int send_question(struct quire_client *client, const char *picture, const char *question,
                         struct quire_error *error) {
    uint8_t id[QUIRE_ID_BYTES];
    struct quire_request *request = quire_request_new();
    if (request == NULL) {
        *error = (struct quire_error){.text = "memory ran out"};
        return -1;
    }
    int rc = quire_request_message(request, QUIRE_USER);
    if (rc == 0)
        rc = quire_request_picture_file(request, picture, error);
    if (rc == 0) {
        rc = quire_request_text(request, question, strlen(question));
        if (rc != 0)
            snprintf(error->text, sizeof error->text, "question: %s", quire_error_name(rc));
    }
    if (rc == 0)
        rc = quire_send(client, request, id, error);
    quire_request_free(request);
    return rc;
}

static int print_answer(struct quire_client *client, struct quire_error *error) {
    struct quire_event event;
    do {
        int rc = quire_next(client, -1, &event, error);
        if (rc < 0)
            return rc;
        if (rc > 0 && event.kind == QUIRE_TOKENS) {
            fwrite(event.text, 1, event.text_bytes, stdout);
            fflush(stdout);
        }
        if (rc == 0)
            event.last = false;
    } while (!event.last);
    putchar('\n');
    *error = event.error;
    return event.kind == QUIRE_DONE ? 0 : event.error.code;
}

int main(int argc, char **argv) {
    struct quire_client *client = NULL;
    struct quire_error error = {0};
    if (argc != 3) {
        fprintf(stderr, "usage: %s PICTURE QUESTION\n", argv[0]);
        return 2;
    }
    int rc = quire_open(&client, NULL, CONNECT_MS, &error);
    if (rc == 0)
        rc = send_question(client, argv[1], argv[2], &error);
    if (rc == 0)
        rc = print_answer(client, &error);
    quire_close(client);
    if (rc != 0)
        fprintf(stderr, "%s: %s\n", argv[0], error.text);
    return rc == 0 ? 0 : 1;
}
