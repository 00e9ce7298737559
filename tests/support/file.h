/* file.h - a whole file in memory, for tests. */
#ifndef QUIRE_TESTS_SUPPORT_FILE_H
#define QUIRE_TESTS_SUPPORT_FILE_H

#include "common/bytes.h"

/* Reads folder/name; a test whose file is missing is aborted. Free data. */
struct bytes file_read(const char *folder, const char *name);

#endif
