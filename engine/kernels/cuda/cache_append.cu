// SPDX-License-Identifier: Apache-2.0
#include "engine/kernels/cuda/cache_append.cuh"

#include "engine/kernels/cuda/launch.cuh"

namespace spanlm::kernels {

const char* StageKeysCuda(const CacheAppendArgs& args, Stream stream) {
  if (const char* error = CheckCacheAppend(args)) return error;
  return Launch(StageKeysKernel, ShapeOfCacheAppend(args), args, stream);
}

const char* AppendToCacheCuda(const CacheAppendArgs& args, Stream stream) {
  if (const char* error = CheckCacheAppend(args)) return error;
  return Launch(AppendToCacheKernel, ShapeOfCacheAppend(args), args, stream);
}

}  // namespace spanlm::kernels
