add_library(broker_world STATIC broker_world.c)
target_link_libraries(broker_world PUBLIC quire_broker PkgConfig::CMOCKA)

quire_test(broker_memory_test broker_memory_test.c LIBS quire_broker)
quire_test(broker_requests_test broker_requests_test.c LIBS broker_world)
quire_test(broker_ends_test broker_ends_test.c LIBS broker_world)
quire_test(broker_pool_test broker_pool_test.c LIBS broker_world)
quire_test(broker_loss_test broker_loss_test.c LIBS broker_world)
quire_test(broker_random_test broker_random_test.c LIBS broker_world)

foreach(test broker_socket_test broker_abuse_test)
  quire_test(${test} ${test}.c broker_rig.c support/process.c support/temp.c
    LIBS quire_wire TIMEOUT 180)
  add_dependencies(${test} quire-broker)
endforeach()
