quire_test(stream_test stream_test.c LIBS quire_stream)
quire_test(handoff_test handoff_test.c LIBS quire_handoff)
quire_test(registration_test registration_test.c LIBS quire_registration)
quire_test(holdings_test holdings_test.c LIBS quire_holdings)
quire_test(task_links_test task_links_test.c LIBS quire_scheduler test_text)
quire_test(rates_test rates_test.c LIBS quire_scheduler)
quire_test(reuse_test reuse_test.c support/asker.c LIBS quire_scheduler m TIMEOUT 120)
quire_test(reuse_random_test reuse_random_test.c support/asker.c LIBS quire_scheduler m TIMEOUT 400)
quire_test(resume_test resume_test.c support/asker.c LIBS quire_scheduler m TIMEOUT 120)
# Equality of bits, once for each set of instructions: a CPU that lacks one runs its best instead.
quire_test(exact_random_test exact_random_test.c LIBS quire_engine TIMEOUT 240)
foreach(isa portable avx2 avxvnni avx512)
  add_test(NAME exact_random_test_${isa} COMMAND exact_random_test)
  set_tests_properties(exact_random_test_${isa} PROPERTIES TIMEOUT 480 ENVIRONMENT QUIRE_ISA=${isa})
endforeach()
quire_test(exact_isa_test exact_isa_test.c support/engine_run.c support/temp.c LIBS quire_engine TIMEOUT 240)
quire_test(exact_requests_test exact_requests_test.c support/asker.c LIBS quire_scheduler m TIMEOUT 240)
quire_test(counted_test counted_test.c support/asker.c LIBS quire_scheduler m)
quire_test(scheduler_test scheduler_test.c support/asker.c LIBS quire_scheduler m)
target_link_options(scheduler_test PRIVATE -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc)
quire_test(constraint_test constraint_test.c support/asker.c LIBS quire_scheduler test_schema m TIMEOUT 240)
target_link_options(constraint_test PRIVATE -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc)
quire_test(scheduler_steps_test scheduler_steps_test.c support/asker.c LIBS quire_scheduler m)
target_link_options(scheduler_steps_test PRIVATE -Wl,--wrap=rates_prompt_step)

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
quire_test(worker_limits_test worker_limits_test.c LIBS test_worker TIMEOUT 120)
add_dependencies(worker_limits_test quire-worker)
