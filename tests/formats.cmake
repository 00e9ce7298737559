add_library(test_models STATIC support/gguf_writer.c support/quantize.c support/quantize_k.c
  support/smolvlm_shape.c support/smolvlm_fill.c)
target_link_libraries(test_models PUBLIC quire_formats)
add_executable(make-model tools/make-model.c)
target_link_libraries(make-model PRIVATE test_models)

quire_test(quant_test quant_test.c LIBS test_models)
quire_test(gguf_test gguf_test.c support/gguf_image.c LIBS test_models)
quire_test(gguf_refuse_test gguf_refuse_test.c support/gguf_image.c support/temp.c LIBS test_models)
quire_test(gguf_mutation_test gguf_mutation_test.c fuzz_gguf.c LIBS test_models)
quire_test(model_test model_test.c support/gguf_image.c LIBS test_models)
quire_test(model_refuse_test model_refuse_test.c support/gguf_image.c LIBS test_models)
quire_test(made_model_test made_model_test.c support/gguf_image.c LIBS test_models)
