# Matrix products, pages, the decoder and sampling. What depends on the instruction set runs once for each: a CPU that
# lacks one runs its best instead.
function(quire_test_isas name)
  quire_test(${name} ${ARGN})
  foreach(isa portable avx2)
    add_test(NAME ${name}_${isa} COMMAND ${name})
    set_tests_properties(${name}_${isa} PROPERTIES TIMEOUT 240 ENVIRONMENT QUIRE_ISA=${isa})
  endforeach()
endfunction()

add_library(test_math STATIC support/random_weight.c support/text_run.c support/golden.c)
target_link_libraries(test_math PUBLIC quire_math PkgConfig::JANSSON PkgConfig::CMOCKA m)
target_compile_definitions(test_math PRIVATE QUIRE_GOLDEN_DIR="${PROJECT_SOURCE_DIR}/tests/golden")

quire_test(team_test team_test.c LIBS quire_math)
quire_test(pages_test pages_test.c LIBS quire_math)
quire_test(tree_test tree_test.c LIBS quire_math)
quire_test(tree_random_test tree_random_test.c LIBS quire_math)
quire_test_isas(matmul_test matmul_test.c LIBS test_math)
quire_test_isas(sampler_test sampler_test.c LIBS test_math)
quire_test_isas(decoder_golden_test decoder_golden_test.c LIBS test_math TIMEOUT 240)
quire_test_isas(attention_test attention_test.c LIBS test_math)
quire_test_isas(decoder_test decoder_test.c LIBS test_math)
target_link_options(decoder_test PRIVATE -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=aligned_alloc)
