# What must be reused and what must not, through the real broker with one worker and with three.
add_library(scenario_stage STATIC
  scenarios/gallery.c
  scenarios/liar.c
  scenarios/oracle.c
  scenarios/stage.c
  scenarios/talk.c
  support/pool.c
  support/process.c
  support/same_answer.c
  support/temp.c)
target_link_libraries(scenario_stage PUBLIC
  image_support quire_client quire_engine quire_wire PkgConfig::XXHASH PkgConfig::CMOCKA m)
target_compile_definitions(scenario_stage PRIVATE
  QUIRE_GOLDEN_DIR="${PROJECT_SOURCE_DIR}/tests/golden"
  QUIRE_DEMO_DIR="${PROJECT_SOURCE_DIR}/deploy/demo"
  QUIRE_BIN_DIR="${CMAKE_BINARY_DIR}/bin")

set(scenario_seconds 240)
if(QUIRE_SANITIZE)
  set(scenario_seconds 480)
endif()
foreach(part growth change same_picture branches loss index)
  quire_test(scenarios_${part} scenarios/${part}.c LIBS scenario_stage TIMEOUT ${scenario_seconds})
  add_test(NAME scenarios_${part}_pool COMMAND scenarios_${part} 3)
  set_tests_properties(scenarios_${part}_pool PROPERTIES TIMEOUT ${scenario_seconds})
  add_dependencies(scenarios_${part} make-model quire-broker quire-index quire-worker)
endforeach()
