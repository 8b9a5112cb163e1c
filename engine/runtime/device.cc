// SPDX-License-Identifier: Apache-2.0
#include "engine/runtime/device.h"

#include <cuda_runtime_api.h>
#include <dlfcn.h>

#include <cstddef>
#include <limits>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/status_macros.h"

namespace spanlm {
namespace {

absl::Status Missing(absl::string_view device, absl::string_view what) {
  return absl::FailedPreconditionError(
      absl::StrCat("device ", device, ": ", what));
}

// Its kernels register themselves as they are loaded; this binary refers to
// none of its symbols.
absl::Status LoadTorchCuda(absl::string_view device) {
  if (dlopen("libtorch_cuda.so", RTLD_NOW | RTLD_GLOBAL) != nullptr) {
    return absl::OkStatus();
  }
  return Missing(device, dlerror());
}

}  // namespace

absl::StatusOr<int8_t> CudaDeviceIndex(absl::string_view name) {
  absl::string_view number = name;
  int32_t index = 0;
  const bool is_cuda = absl::ConsumePrefix(&number, "cuda");
  if (is_cuda && number.empty()) return int8_t{0};
  if (!is_cuda || !absl::ConsumePrefix(&number, ":") ||
      !absl::SimpleAtoi(number, &index) || index < 0 ||
      index > std::numeric_limits<int8_t>::max()) {
    return absl::InvalidArgumentError(
        absl::StrCat("device ", name, ": want cuda or cuda:0 to cuda:127"));
  }
  return static_cast<int8_t>(index);
}

absl::StatusOr<CudaDevice> OpenCudaDevice(absl::string_view name) {
  CudaDevice device;
  SPANLM_ASSIGN_OR_RETURN(device.index, CudaDeviceIndex(name));
  int count = 0;
  const cudaError_t found = cudaGetDeviceCount(&count);
  if (found != cudaSuccess) return Missing(name, cudaGetErrorString(found));
  if (device.index >= count) {
    return Missing(name, absl::StrCat("this machine has ", count,
                                      count == 1 ? " device" : " devices"));
  }
  int major = 0, minor = 0;
  for (const cudaError_t error :
       {cudaSetDevice(device.index),
        cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor,
                               device.index),
        cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor,
                               device.index)}) {
    if (error != cudaSuccess) return Missing(name, cudaGetErrorString(error));
  }
  device.architecture = absl::StrCat("sm_", major, minor);
  SPANLM_RETURN_IF_ERROR(LoadTorchCuda(name));
  return device;
}

}  // namespace spanlm
