# The only way a target is made here: warnings, standard, include root, alias.
add_library(spanlm_build_flags INTERFACE)
target_compile_features(spanlm_build_flags INTERFACE cxx_std_17)
target_include_directories(spanlm_build_flags INTERFACE ${CMAKE_SOURCE_DIR})
target_compile_options(spanlm_build_flags INTERFACE
  $<$<COMPILE_LANGUAGE:CXX>:-Wall;-Wextra;-Werror>
  $<$<AND:$<COMPILE_LANGUAGE:CXX>,$<CXX_COMPILER_ID:Clang>>:-Wthread-safety>)
if(SPANLM_SANITIZE)
  target_compile_options(spanlm_build_flags INTERFACE
    $<$<COMPILE_LANGUAGE:CXX>:-fsanitize=${SPANLM_SANITIZE};-fno-omit-frame-pointer>)
  if(SPANLM_SANITIZE MATCHES "undefined")
    # Checks at every access, much of the compile time: what they would find in
    # these programs the address sanitizer finds, too.
    target_compile_options(spanlm_build_flags INTERFACE
      $<$<COMPILE_LANGUAGE:CXX>:-fno-sanitize=null,alignment,object-size,vptr>)
  endif()
  target_link_options(spanlm_build_flags INTERFACE -fsanitize=${SPANLM_SANITIZE})
endif()
if(SPANLM_WITH_FUZZ)
  # What a fuzzer sees of the code it runs.
  target_compile_options(spanlm_build_flags INTERFACE
    $<$<COMPILE_LANGUAGE:CXX>:-fsanitize=fuzzer-no-link>)
endif()

# spanlm_library(name SRCS ... [DEPS public...] [PRIVATE_DEPS ...]): makes
# spanlm_<name> and spanlm::<name>. What it links is what it may include.
function(spanlm_library name)
  cmake_parse_arguments(arg "" "" "SRCS;DEPS;PRIVATE_DEPS" ${ARGN})
  add_library(spanlm_${name} STATIC ${arg_SRCS})
  add_library(spanlm::${name} ALIAS spanlm_${name})
  target_link_libraries(spanlm_${name}
    PUBLIC spanlm_build_flags ${arg_DEPS} PRIVATE ${arg_PRIVATE_DEPS})
endfunction()

# spanlm_binary(name SRCS ... DEPS ...): a program in bin/.
function(spanlm_binary name)
  cmake_parse_arguments(arg "" "" "SRCS;DEPS" ${ARGN})
  add_executable(${name} ${arg_SRCS})
  target_link_libraries(${name} PRIVATE spanlm_build_flags ${arg_DEPS})
  target_compile_definitions(${name} PRIVATE SPANLM_VERSION="${PROJECT_VERSION}")
endfunction()

# spanlm_test(name SRCS ... DEPS ... [LABEL unit] [TIMEOUT 300]
# [HEADERS_OF base_test]): one executable a folder; CTest names are Suite.Test.
# HEADERS_OF names the test whose precompiled header it shares, base_test or
# attention_test.
function(spanlm_test name)
  cmake_parse_arguments(arg
    "" "LABEL;TIMEOUT;HEADERS_OF" "SRCS;DEPS" ${ARGN})
  if(NOT arg_LABEL)
    set(arg_LABEL unit)
  endif()
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 300)
  endif()
  add_executable(spanlm_${name} ${arg_SRCS})
  # A third of a test's compile time; what it tests is optimised. -pthread comes
  # with gRPC: all have it, or could not share a header.
  target_compile_options(spanlm_${name} PRIVATE
    -pthread $<$<CONFIG:Release>:-O0>)
  target_link_libraries(spanlm_${name} PRIVATE
    spanlm_build_flags ${arg_DEPS} GTest::gmock GTest::gtest_main)
  target_compile_definitions(spanlm_${name} PRIVATE
    SPANLM_TESTDATA_DIR="${CMAKE_SOURCE_DIR}/tests/testdata"
    SPANLM_SOURCE_DIR="${CMAKE_SOURCE_DIR}"
    SPANLM_BIN_DIR="${CMAKE_RUNTIME_OUTPUT_DIRECTORY}")
  if(NOT arg_HEADERS_OF)
    set(arg_HEADERS_OF base_test)
  endif()
  if(NOT arg_HEADERS_OF STREQUAL name)
    target_precompile_headers(spanlm_${name}
      REUSE_FROM spanlm_${arg_HEADERS_OF})
  endif()
  # Tests run side by side, the long ones first. LibTorch's threads wait asleep,
  # or they would take each other's cores.
  set(cost 0)
  if(arg_LABEL STREQUAL "whole")
    set(cost 1000)
  endif()
  gtest_discover_tests(spanlm_${name}
    DISCOVERY_MODE PRE_TEST DISCOVERY_TIMEOUT 60
    PROPERTIES LABELS ${arg_LABEL} TIMEOUT ${arg_TIMEOUT}
               COST ${cost}
               ENVIRONMENT OMP_WAIT_POLICY=passive)
endfunction()

# spanlm_bench(name SRCS ... DEPS ...): a Google Benchmark program in bin/.
function(spanlm_bench name)
  cmake_parse_arguments(arg "" "" "SRCS;DEPS" ${ARGN})
  add_executable(spanlm_${name} ${arg_SRCS})
  target_link_libraries(spanlm_${name} PRIVATE
    spanlm_build_flags ${arg_DEPS} benchmark::benchmark_main)
endfunction()

if(BUILD_TESTING OR NOT DEFINED BUILD_TESTING)
  include(GoogleTest)
endif()
