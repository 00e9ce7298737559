quire_test(cpus_test cpus_test.c support/temp.c LIBS quire_common)
quire_test(config_test config_test.c support/temp.c LIBS quire_common)
quire_test(paths_test paths_test.c support/temp.c LIBS quire_common)
quire_test(error_test error_test.c LIBS quire_common)
