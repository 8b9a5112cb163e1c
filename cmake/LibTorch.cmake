# LibTorch by path. find_package(Torch) of the wheel insists on a CUDA toolkit,
# adds flags for every target and links libtorch_cuda (docs/decisions/0011).
#
# spanlm::torch_cpu   tensors, autograd and CPU operators
# spanlm::torch_cuda  the same plus streams and devices; with SPANLM_WITH_CUDA
# spanlm::torch_nccl  libtorch_cuda too, for libraries that are loaded after it
if(NOT EXISTS ${SPANLM_TORCH_DIR}/lib/libtorch_cpu.so)
  message(FATAL_ERROR
    "LibTorch not found at ${SPANLM_TORCH_DIR}: run 'make setup', or set SPANLM_TORCH_DIR")
endif()

# imported_library(<target> <file>): a shared library of the wheel.
function(spanlm_torch_library target file)
  add_library(${target} SHARED IMPORTED GLOBAL)
  set_target_properties(${target} PROPERTIES
    IMPORTED_LOCATION ${SPANLM_TORCH_DIR}/lib/${file}
    IMPORTED_NO_SONAME OFF)
endfunction()

spanlm_torch_library(spanlm_torch_c10 libc10.so)
spanlm_torch_library(spanlm_torch_cpu_only libtorch_cpu.so)

add_library(spanlm_torch_headers INTERFACE)
target_include_directories(spanlm_torch_headers SYSTEM INTERFACE
  ${SPANLM_TORCH_DIR}/include
  ${SPANLM_TORCH_DIR}/include/torch/csrc/api/include)
target_compile_definitions(spanlm_torch_headers INTERFACE _GLIBCXX_USE_CXX11_ABI=1)

add_library(spanlm_torch_cpu INTERFACE)
add_library(spanlm::torch_cpu ALIAS spanlm_torch_cpu)
# The wheel's own dependencies (cudart, cupti) lie beside it and are found by
# its run path; the linker need not chase them.
target_link_libraries(spanlm_torch_cpu INTERFACE
  spanlm_torch_headers spanlm_torch_cpu_only spanlm_torch_c10
  -Wl,--unresolved-symbols=ignore-in-shared-libs)

# libtorch_cuda itself is loaded when a CUDA device is first asked for
# (engine/runtime/device.h): it needs libraries that a machine without a GPU may
# lack, and the same binary must start there.
if(SPANLM_WITH_CUDA)
  spanlm_torch_library(spanlm_torch_c10_cuda libc10_cuda.so)
  add_library(spanlm_torch_cuda INTERFACE)
  add_library(spanlm::torch_cuda ALIAS spanlm_torch_cuda)
  target_link_libraries(spanlm_torch_cuda INTERFACE
    spanlm_torch_cpu spanlm_torch_c10_cuda CUDA::cudart)

  spanlm_torch_library(spanlm_torch_cuda_only libtorch_cuda.so)
  add_library(spanlm_torch_nccl INTERFACE)
  add_library(spanlm::torch_nccl ALIAS spanlm_torch_nccl)
  target_link_libraries(spanlm_torch_nccl INTERFACE
    spanlm_torch_cuda spanlm_torch_cuda_only)
endif()
