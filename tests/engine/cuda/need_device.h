// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda_runtime_api.h>

#include "gtest/gtest.h"

namespace spanlm {

inline bool HasCudaDevice() {
  int count = 0;
  return cudaGetDeviceCount(&count) == cudaSuccess && count > 0;
}

}  // namespace spanlm

// Ends a test, or a fixture's SetUp, that only a device can run.
#define SPANLM_NEED_CUDA_DEVICE() \
  if (!spanlm::HasCudaDevice()) GTEST_SKIP() << "skipped: no CUDA device"
