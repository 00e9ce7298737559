/* limits.h - every bound of the wire format. proto/SPEC.md lists them with the same names. */
#ifndef QUIRE_PROTO_LIMITS_H
#define QUIRE_PROTO_LIMITS_H

#define PROTO_VERSION_MIN 1
#define PROTO_VERSION_MAX 1

#define LIMIT_HEADER_BYTES (8u << 20)   /* first frame of any message */
#define LIMIT_PICTURE_BYTES (32u << 20) /* one encoded picture */
#define LIMIT_REQUEST_BYTES (64u << 20) /* all frames of one request */
#define LIMIT_PICTURES 64               /* pictures in one request */
#define LIMIT_MESSAGES 2048             /* messages in one request */
#define LIMIT_PARTS 4096                /* text and picture parts in one request */
#define LIMIT_STOPS 16                  /* stop strings in one request */
#define LIMIT_STOP_BYTES 256            /* one stop string */
#define LIMIT_SCHEMA_BYTES 65536        /* a JSON Schema that the answer fits */
#define LIMIT_PRIORITY 2                /* the highest priority of a request */
#define LIMIT_TENANT_BYTES 64
#define LIMIT_MODEL_BYTES 128
#define LIMIT_NAME_BYTES 64     /* a worker's name */
#define LIMIT_SOFTWARE_BYTES 64 /* "quire 0.1.0" */
#define LIMIT_ERROR_TEXT_BYTES 511
#define LIMIT_LOGPROBS 20            /* alternatives per token */
#define LIMIT_MAX_TOKENS 1048576     /* max_tokens of one request */
#define LIMIT_DEADLINE_MS 3600000    /* one hour; also the default */
#define LIMIT_DEPTH 16               /* nesting of skipped unknown values */
#define LIMIT_TOKENS_PER_MESSAGE 64  /* tokens in one TOKENS message */
#define LIMIT_WORKERS 256            /* live workers of one broker */
#define LIMIT_LISTED_REQUESTS 1024   /* requests in one OPS_REPLY; the oldest come first */
#define LIMIT_TEMPLATE_BYTES 64      /* a chat template's name */
#define LIMIT_TOOLS_BYTES 16         /* a tool format's name */
#define LIMIT_LINKS 1024             /* held, and dropped, in one LINKS */
#define LIMIT_SEGMENT_ENDS 1024      /* told in one DONE */
#define LIMIT_EXPLAINED_SEGMENTS 512 /* in one explanation; the last ones */

#define SEGMENT_TEXT_BYTES 4096 /* a longer text is cut after every so many */

#define REQUEST_ID_BYTES 16

#endif
