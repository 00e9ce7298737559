add_library(proto_samples STATIC proto_samples.c fuzz_proto.c)
target_link_libraries(proto_samples PUBLIC quire_proto)

quire_test(utf8_test utf8_test.c LIBS quire_common)
quire_test(cursor_test cursor_test.c LIBS quire_proto)
quire_test(proto_roundtrip_test proto_roundtrip_test.c LIBS proto_samples)
quire_test(proto_refuse_test proto_refuse_test.c LIBS proto_samples)
target_link_options(proto_refuse_test PRIVATE -Wl,--wrap=malloc)
quire_test(proto_routing_test proto_routing_test.c LIBS proto_samples)
quire_test(proto_mutation_test proto_mutation_test.c LIBS proto_samples TIMEOUT 180)
quire_test(proto_spec_test proto_spec_test.c LIBS proto_samples PkgConfig::XXHASH)
target_compile_definitions(proto_spec_test PRIVATE
  QUIRE_PROTO_DIR="${PROJECT_SOURCE_DIR}/proto")
quire_test(wire_test wire_test.c support/temp.c LIBS quire_wire)

# Debian's own Python, since that one has the msgpack module.
add_executable(proto_dump proto_dump.c)
target_link_libraries(proto_dump PRIVATE proto_samples)
add_test(NAME proto_python_test
  COMMAND /usr/bin/python3 ${CMAKE_CURRENT_SOURCE_DIR}/proto_python_test.py
    $<TARGET_FILE:proto_dump>)
set_tests_properties(proto_python_test PROPERTIES TIMEOUT 60)

# The chain of segments: ours, and that of the example in Python, beside the same reference.
quire_test(segments_test segments_test.c LIBS quire_proto)
target_link_options(segments_test PRIVATE -Wl,--wrap=malloc)
quire_test(segments_golden_test segments_golden_test.c LIBS quire_proto PkgConfig::JANSSON)
add_test(NAME chain_python_test
  COMMAND /usr/bin/python3 ${CMAKE_CURRENT_SOURCE_DIR}/chain_python_test.py
    ${PROJECT_SOURCE_DIR}/client/examples ${CMAKE_CURRENT_SOURCE_DIR}/golden/segments)
set_tests_properties(chain_python_test PROPERTIES TIMEOUT 60)
