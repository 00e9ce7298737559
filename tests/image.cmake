# Pictures, the vision tower, and the whole engine beside the reference.
add_library(image_support STATIC support/file.c support/png_make.c fuzz_image.c)
target_link_libraries(image_support PUBLIC quire_image)

quire_test(resize_test resize_test.c LIBS image_support)
quire_test(decode_test decode_test.c LIBS image_support)
quire_test(orientation_test orientation_test.c LIBS image_support)
quire_test(image_mutation_test image_mutation_test.c LIBS image_support)

quire_test(preprocess_test preprocess_test.c LIBS quire_vision m)
quire_test(vision_test vision_test.c support/tower.c support/random_weight.c LIBS quire_vision m)
target_include_directories(vision_test PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
quire_test(vision_exact_test vision_exact_test.c support/tower.c support/random_weight.c LIBS quire_vision m
  TIMEOUT 120)

quire_test(picture_table_test picture_table_test.c LIBS quire_engine)
quire_test(feature_cache_test feature_cache_test.c LIBS quire_engine)
add_library(feature_rig STATIC support/feature_rig.c)
target_link_libraries(feature_rig PUBLIC quire_engine image_support PkgConfig::CMOCKA)
target_compile_definitions(feature_rig PRIVATE QUIRE_GOLDEN_DIR="${PROJECT_SOURCE_DIR}/tests/golden")
quire_test(features_test features_test.c LIBS feature_rig)
quire_test(features_room_test features_room_test.c LIBS feature_rig)

add_library(engine_run STATIC support/engine_run.c support/file.c)
target_link_libraries(engine_run PUBLIC quire_engine)
quire_test(golden_test golden_test.c support/golden.c LIBS engine_run PkgConfig::JANSSON TIMEOUT 120)
add_executable(engine-dump tools/engine_dump.c)
target_link_libraries(engine-dump PRIVATE engine_run PkgConfig::JANSSON m)
add_test(NAME engine_dump_test
  COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/tools/engine_dump_test.sh $<TARGET_FILE:engine-dump>
    ${CMAKE_CURRENT_SOURCE_DIR}/golden)
set_tests_properties(engine_dump_test PROPERTIES TIMEOUT 60)

# Once for each instruction set; a CPU that lacks one runs its best instead. golden_test leaves out portable code, which is
# slow and whose bits are those of every other set: exact_isa_test and the tile tests compare them.
foreach(run vision_test,portable vision_test,avx2 golden_test,avx2)
  string(REPLACE "," ";" run ${run})
  list(GET run 0 name)
  list(GET run 1 isa)
  add_test(NAME ${name}_${isa} COMMAND ${name})
  set_tests_properties(${name}_${isa} PROPERTIES TIMEOUT 120 ENVIRONMENT QUIRE_ISA=${isa})
endforeach()
