// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda_runtime_api.h>

#include "engine/kernels/cuda/launch_shape.h"
#include "engine/kernels/stream.h"

namespace spanlm::kernels {

// Checks the shape against the limits and launches `kernel`. Returns nullptr,
// or a static string saying why it did not start.
template <typename Args>
const char* Launch(void (*kernel)(Args), const LaunchShape& shape,
                   const Args& args, Stream stream) {
  if (const char* error = CheckLaunch(shape)) return error;
  if (shape.blocks == 0) return nullptr;
  kernel<<<static_cast<unsigned>(shape.blocks), shape.threads, 0, stream>>>(
      args);
  const cudaError_t error = cudaGetLastError();
  return error == cudaSuccess ? nullptr : cudaGetErrorString(error);
}

}  // namespace spanlm::kernels
