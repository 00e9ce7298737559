quire_test(stream_test stream_test.c LIBS quire_stream)
quire_test(handoff_test handoff_test.c LIBS quire_handoff)
quire_test(registration_test registration_test.c LIBS quire_registration)
quire_test(scheduler_test scheduler_test.c LIBS quire_scheduler)
target_link_options(scheduler_test PRIVATE -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc)
quire_test(worker_test worker_test.c support/fake_broker.c support/process.c support/temp.c
  LIBS quire_wire TIMEOUT 180)
add_dependencies(worker_test quire-worker)
