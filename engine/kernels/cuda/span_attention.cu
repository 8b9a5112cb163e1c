// SPDX-License-Identifier: Apache-2.0
#include "engine/kernels/cuda/span_attention.cuh"

#include "engine/kernels/cuda/launch.cuh"

namespace spanlm::kernels {

static_assert(sizeof(float) * kAttentionWarps * 2 * kMaxHeadDim <=
              kMaxStaticSharedBytes);

const char* SpanAttentionCuda(const SpanAttentionArgs& args, Stream stream) {
  if (const char* error = CheckSpanAttention(args)) return error;
  return Launch(SpanAttentionKernel, ShapeOfSpanAttention(args), args, stream);
}

}  // namespace spanlm::kernels
