# Benchmarks; tests/bench/engine runs this one on models of true shape.
add_executable(bench-engine bench/bench_engine.c bench/limits.c)
target_link_libraries(bench-engine PRIVATE quire_vision)
