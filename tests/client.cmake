quire_test(client_test client_test.c client_peer.c support/temp.c
  LIBS quire_client quire_wire Threads::Threads)
quire_test(client_later_test client_later_test.c client_peer.c support/temp.c
  LIBS quire_client quire_wire Threads::Threads)
quire_test(replay_trace_test replay_trace_test.c support/process.c support/temp.c
  LIBS quire_replay quire_proto)
quire_test(replay_reuse_test replay_reuse_test.c LIBS quire_replay quire_proto)
quire_test(replay_pool_test replay_pool_test.c support/pool.c support/process.c support/temp.c
  LIBS quire_client quire_common PkgConfig::JANSSON TIMEOUT 400)
quire_test(explain_test explain_test.c support/pool.c support/process.c support/temp.c
  LIBS quire_client quire_common PkgConfig::JANSSON TIMEOUT 300)
quire_test(replay_http_test replay_http_test.c support/http.c support/pool.c support/process.c
  support/temp.c LIBS quire_client quire_common PkgConfig::JANSSON TIMEOUT 300)
add_dependencies(replay_http_test quire-gateway)
foreach(name replay_pool_test replay_http_test explain_test)
  add_dependencies(${name} quire quire-broker quire-worker)
endforeach()
