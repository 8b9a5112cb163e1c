// SPDX-License-Identifier: Apache-2.0
// The CUDA device an engine runs on.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace spanlm {

struct CudaDevice {
  int8_t index = 0;          // as CUDA counts them
  std::string architecture;  // "sm_90"
};

// The number in "cuda:N"; 0 for "cuda". kInvalidArgument for other names.
absl::StatusOr<int8_t> CudaDeviceIndex(absl::string_view name);

// Finds the device and loads LibTorch's CUDA library. kFailedPrecondition names
// the device where it, its driver or a library is missing. Call it before
// anything else of LibTorch is used: LibTorch looks for CUDA only once.
absl::StatusOr<CudaDevice> OpenCudaDevice(absl::string_view name);

}  // namespace spanlm
