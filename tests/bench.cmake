# Benchmarks; tests/bench/engine runs this one on models of true shape.
add_executable(bench-engine bench/bench_engine.c bench/bench_engine_measure.c
  bench/bench_engine_work.c bench/bench_engine_text.c bench/bench_engine_tile.c
  bench/bench_engine_peers.c bench/bench_engine_show.c bench/bench_engine_plot.c
  bench/limits.c bench/peaks.c bench/child.c support/temp.c)
target_link_libraries(bench-engine PRIVATE quire_engine quire_drawing PkgConfig::JANSSON m)

# What the broker costs beside a proxy; tests/bench/broker runs it.
add_executable(bench-broker bench/bench_broker.c bench/broker_stub.c bench/broker_traffic.c
  support/process.c support/temp.c)
target_link_libraries(bench-broker PRIVATE quire_wire)

# What the chain of segments costs for one request.
add_executable(bench-chain bench/bench_chain.c)
target_link_libraries(bench-chain PRIVATE quire_proto)

# What several workers on one model cost in memory.
add_executable(bench-memory bench/bench_memory.c)
target_link_libraries(bench-memory PRIVATE quire_engine)
