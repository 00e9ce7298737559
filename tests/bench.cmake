# Benchmarks; tests/bench/engine runs this one on models of true shape.
add_executable(bench-engine bench/bench_engine.c bench/limits.c)
target_link_libraries(bench-engine PRIVATE quire_math)
if(TARGET quire_vision AND EXISTS ${PROJECT_SOURCE_DIR}/worker/engine/vision.c)
  target_compile_definitions(bench-engine PRIVATE BENCH_VISION=1)
  target_link_libraries(bench-engine PRIVATE quire_vision)
endif()
