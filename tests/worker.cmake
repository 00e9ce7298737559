quire_test(stream_test stream_test.c LIBS quire_stream)
quire_test(handoff_test handoff_test.c LIBS quire_handoff)
quire_test(registration_test registration_test.c LIBS quire_registration)
quire_test(holdings_test holdings_test.c LIBS quire_holdings)
quire_test(task_links_test task_links_test.c LIBS quire_scheduler test_text)
quire_test(rates_test rates_test.c LIBS quire_scheduler)
quire_test(reuse_test reuse_test.c support/asker.c LIBS quire_scheduler m TIMEOUT 120)
quire_test(reuse_random_test reuse_random_test.c support/asker.c LIBS quire_scheduler m TIMEOUT 400)
quire_test(scheduler_test scheduler_test.c support/asker.c LIBS quire_scheduler m)
target_link_options(scheduler_test PRIVATE -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc)

add_library(test_worker STATIC
  support/fake_broker.c
  support/process.c
  support/temp.c
  support/worker_stage.c)
target_link_libraries(test_worker PUBLIC quire_wire PkgConfig::CMOCKA)
target_compile_definitions(test_worker PRIVATE QUIRE_GOLDEN_DIR="${PROJECT_SOURCE_DIR}/tests/golden"
  QUIRE_BIN_DIR="${CMAKE_BINARY_DIR}/bin")

quire_test(worker_test worker_test.c LIBS test_worker TIMEOUT 180)
add_dependencies(worker_test quire-worker)
quire_test(worker_links_test worker_links_test.c LIBS test_worker TIMEOUT 120)
add_dependencies(worker_links_test quire-worker)
