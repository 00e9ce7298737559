add_library(index_rig STATIC index_rig.c support/temp.c)
target_link_libraries(index_rig PUBLIC quire_index PkgConfig::CMOCKA)

quire_test(index_test index_test.c LIBS index_rig TIMEOUT 120)
quire_test(index_damage_test index_damage_test.c LIBS index_rig TIMEOUT 300)

quire_test(broker_index_test broker_index_test.c stub_pool.c broker_rig.c
  support/process.c support/temp.c
  LIBS quire_wire TIMEOUT 300)
add_dependencies(broker_index_test quire-broker)

quire_test(segments_cli_test segments_cli_test.c support/process.c LIBS index_rig)
add_dependencies(segments_cli_test quire)
