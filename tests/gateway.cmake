# ---- gateway/http: its parts, and the real program ----
quire_test(http_parts_test http_parts_test.c LIBS quire_gateway_http PkgConfig::SODIUM)
foreach(test strict limits)
  quire_test(http_${test}_test http_${test}_test.c support/http.c support/process.c support/temp.c
    LIBS quire_common TIMEOUT 120)
  add_dependencies(http_${test}_test quire-gateway)
endforeach()
foreach(test pool idempotency keys)
  quire_test(http_${test}_test http_${test}_test.c support/http.c support/pool.c support/process.c
    support/temp.c LIBS quire_client quire_common PkgConfig::JANSSON TIMEOUT 240)
  add_dependencies(http_${test}_test quire-gateway quire-broker quire-worker)
endforeach()

# ---- gateway/access and the Anthropic dialects ----
quire_test(keys_test keys_test.c support/temp.c LIBS quire_gateway_access)
quire_test(limits_test limits_test.c LIBS quire_gateway_access)
quire_test(api_anthropic_test api_anthropic_test.c support/anthropic_rig.c
  LIBS quire_gateway_api quire_wire quire_proto)
quire_test(api_anthropic_answer_test api_anthropic_answer_test.c support/anthropic_rig.c
  LIBS quire_gateway_api)

# ---- gateway/pool ----
quire_test(gateway_passed_test gateway_passed_test.c LIBS quire_gateway_pool)
quire_test(gateway_windows_test gateway_windows_test.c LIBS quire_gateway_pool)
foreach(name gateway_pool_test gateway_resend_test)
  quire_test(${name} ${name}.c support/pool_rig.c support/bed.c support/process.c support/temp.c
    LIBS quire_gateway_pool TIMEOUT 300)
endforeach()
quire_test(gateway_observer_test gateway_observer_test.c support/bed.c support/process.c support/temp.c
  LIBS quire_gateway_pool Threads::Threads TIMEOUT 120)
foreach(name gateway_pool_test gateway_resend_test gateway_observer_test)
  add_dependencies(${name} quire-broker quire-worker)
endforeach()

# ---- gateway/figures and gateway/views ----
quire_test(figures_test figures_test.c LIBS quire_gateway_figures m)
quire_test(views_test views_test.c support/views_stage.c LIBS quire_gateway_views)
quire_test(views_tree_test views_tree_test.c LIBS quire_gateway_views)
add_test(NAME metrics_test COMMAND python3 ${CMAKE_CURRENT_SOURCE_DIR}/metrics_test.py
  ${CMAKE_BINARY_DIR}/bin ${PROJECT_SOURCE_DIR})
set_tests_properties(metrics_test PROPERTIES TIMEOUT 300)

# ---- gateway/api, the OpenAI dialects ----
foreach(test tools chat completions responses picture mutation)
  quire_test(api_openai_${test}_test api_openai_${test}_test.c support/openai_rig.c
    LIBS quire_gateway_api quire_proto quire_wire PkgConfig::SODIUM)
endforeach()

# ---- gateway/web: the page in a browser; tests/run installs what it needs ----
add_test(NAME page_test COMMAND node --test ${CMAKE_CURRENT_SOURCE_DIR}/web/page.test.mjs)
set(page_timeout 600)
if(QUIRE_SANITIZE)
  math(EXPR page_timeout "3 * ${page_timeout}")
endif()
set_tests_properties(page_test PROPERTIES TIMEOUT ${page_timeout}
  ENVIRONMENT "QUIRE_BIN_DIR=${CMAKE_BINARY_DIR}/bin")

# ---- the official packages of OpenAI and Anthropic, against real pools ----
set(web_timeout 600)
set(web_test_ms 120000) # of each one in it
if(QUIRE_SANITIZE)
  math(EXPR web_timeout "3 * ${web_timeout}")
  math(EXPR web_test_ms "3 * ${web_test_ms}")
endif()
foreach(test openai anthropic schema trouble)
  add_test(NAME web_${test}_test
    COMMAND node --test ${CMAKE_CURRENT_SOURCE_DIR}/web/${test}.test.mjs)
  set_tests_properties(web_${test}_test PROPERTIES TIMEOUT ${web_timeout}
    ENVIRONMENT "QUIRE_BIN_DIR=${CMAKE_BINARY_DIR}/bin;QUIRE_TEST_MS=${web_test_ms}")
endforeach()
