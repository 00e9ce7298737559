# Benchmarks; tests/bench/engine runs this one on models of true shape.
add_executable(bench-engine bench/bench_engine.c bench/bench_engine_measure.c
  bench/bench_engine_work.c bench/bench_engine_text.c bench/bench_engine_tile.c
  bench/bench_engine_peers.c bench/bench_engine_show.c bench/bench_engine_plot.c
  bench/blas.c bench/limits.c bench/peaks.c bench/child.c support/temp.c)
target_link_libraries(bench-engine PRIVATE quire_engine quire_drawing PkgConfig::JANSSON ${CMAKE_DL_LIBS} m)
# OpenBLAS is opened at run time (blas.h says why); only its header is needed here.
get_target_property(blas_include PkgConfig::BLAS INTERFACE_INCLUDE_DIRECTORIES)
if(blas_include)
  target_include_directories(bench-engine SYSTEM PRIVATE ${blas_include})
endif()

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

# What the HTTP gateway costs; tests/bench/gateway runs it.
add_executable(bench-gateway bench/bench_gateway.c bench/gateway_stub.c bench/gateway_streams.c
  support/process.c support/temp.c)
target_link_libraries(bench-gateway PRIVATE quire_client quire_wire quire_common)

# What holding an answer to a JSON Schema costs for each token.
add_executable(bench-schema bench/bench_schema.c)
target_link_libraries(bench-schema PRIVATE quire_schema)
