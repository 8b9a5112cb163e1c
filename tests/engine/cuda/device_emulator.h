// SPDX-License-Identifier: Apache-2.0
// CUDA's words for g++, so that a kernel's own source runs on the host: every
// thread of a block is a fiber, and warp exchanges wait for all 32 lanes. Slow
// and exact; include it before a .cuh.
#pragma once

#include <functional>

#include "engine/kernels/cuda/launch_shape.h"

#define __global__ inline
#define __device__
#define __shared__ static

namespace spanlm {

struct EmulatedIndex {
  unsigned x = 0;
};

// Runs `kernel` for each thread of each block, one block after the other. Ends
// the process if lanes of a warp wait for each other for ever.
void EmulateLaunch(const kernels::LaunchShape& shape,
                   const std::function<void()>& kernel);

}  // namespace spanlm

// Of the fiber that runs.
extern spanlm::EmulatedIndex threadIdx;
extern spanlm::EmulatedIndex blockIdx;

float __shfl_sync(unsigned mask, float value, int lane);
float __shfl_xor_sync(unsigned mask, float value, int lane_mask);
void __syncwarp();
