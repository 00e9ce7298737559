# Benchmarks; tests/bench/engine runs this one on models of true shape.
add_executable(bench-engine bench/bench_engine.c bench/limits.c)
target_link_libraries(bench-engine PRIVATE quire_vision)

# What the broker costs beside a proxy; tests/bench/broker runs it.
add_executable(bench-broker bench/bench_broker.c bench/broker_stub.c bench/broker_traffic.c
  support/process.c support/temp.c)
target_link_libraries(bench-broker PRIVATE quire_wire)

# What the chain of segments costs for one request.
add_executable(bench-chain bench/bench_chain.c)
target_link_libraries(bench-chain PRIVATE quire_proto)
