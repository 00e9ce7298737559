quire_test(pool_test pool_test.c support/pool.c support/process.c support/temp.c
  LIBS quire_client quire_common TIMEOUT 400)
quire_test(places_test places_test.c support/temp.c LIBS quire_cli)
quire_test(up_test up_test.c support/process.c support/temp.c
  LIBS quire_client quire_common TIMEOUT 400)
quire_test(cli_test cli_test.c support/pool.c support/process.c support/temp.c
  LIBS quire_client quire_common PkgConfig::JANSSON TIMEOUT 300)
quire_test(resume_pool_test resume_pool_test.c support/relay.c support/pool.c support/process.c support/temp.c
  LIBS quire_client quire_wire quire_common TIMEOUT 400)
add_dependencies(resume_pool_test quire-broker quire-worker)
quire_test(constraint_pool_test constraint_pool_test.c support/pool.c support/process.c support/temp.c
  LIBS quire_client quire_common test_schema TIMEOUT 240)
add_dependencies(constraint_pool_test quire-broker quire-worker)
quire_test(up_http_test up_http_test.c support/http.c support/process.c support/temp.c
  LIBS quire_common TIMEOUT 300)
add_dependencies(up_http_test quire-gateway)
foreach(name pool_test places_test up_test up_http_test cli_test)
  add_dependencies(${name} quire quire-broker quire-worker)
endforeach()

# The demo model, asked about pictures it has never seen; tests/evaluate is the long form.
add_test(NAME demo_test COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/evaluate 40 2)
set_tests_properties(demo_test PROPERTIES TIMEOUT 400
  ENVIRONMENT "BUILD=${CMAKE_BINARY_DIR};QUIRE_BAR_TOTAL=85;QUIRE_BAR_KIND=0;QUIRE_WRONG=1")
