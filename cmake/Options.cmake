# What a build contains; the presets set these, nobody types them.
option(SPANLM_WITH_TORCH "Build what needs LibTorch: training, CUDA engine" ON)
option(SPANLM_WITH_GRPC "Build what needs gRPC: server, client" ON)
option(SPANLM_WITH_CUDA "Build the CUDA kernels and the CUDA engine" OFF)
option(SPANLM_WITH_BENCH "Build the benchmarks" OFF)
option(SPANLM_WITH_FUZZ "Build the libFuzzer targets (clang)" OFF)
set(SPANLM_SANITIZE "" CACHE STRING "Sanitizers, as for -fsanitize=; empty: none")
set(torch_dir "${CMAKE_SOURCE_DIR}/.deps/torch")
if(NOT "$ENV{SPANLM_TORCH_DIR}" STREQUAL "")
  set(torch_dir "$ENV{SPANLM_TORCH_DIR}")  # as tools/setup.sh takes it
endif()
set(SPANLM_TORCH_DIR "${torch_dir}" CACHE PATH
    "LibTorch: the unpacked wheel's torch folder, or an official LibTorch")

if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()

find_program(SPANLM_CCACHE ccache)
if(SPANLM_CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${SPANLM_CCACHE})
  set(CMAKE_CUDA_COMPILER_LAUNCHER ${SPANLM_CCACHE})
endif()

set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
