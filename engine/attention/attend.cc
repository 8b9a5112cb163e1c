// SPDX-License-Identifier: Apache-2.0
#include "engine/attention/attend.h"

#include <ATen/ops/empty.h>
#include <c10/cuda/CUDAStream.h>
#include <c10/util/Exception.h>

#include "engine/kernels/cache_append.h"
#include "engine/kernels/span_attention.h"

namespace spanlm {
namespace {

using kernels::CacheAppendArgs;
using kernels::Chunk;
using kernels::HeadSpan;
using kernels::kBlockPositions;
using kernels::SpanAttentionArgs;

// Sizes of a layer's attention that the tensors must agree in.
struct Sizes {
  int64_t rows;
  int64_t heads;
  int64_t head_dim;
};

void CheckDefined(const char* name, const at::Tensor& tensor) {
  TORCH_CHECK(tensor.defined(), name, " is missing");
}

void CheckShape(const char* name, const at::Tensor& tensor,
                at::IntArrayRef shape) {
  CheckDefined(name, tensor);
  TORCH_CHECK(tensor.sizes() == shape, name, " is ", tensor.sizes(), ", want ",
              shape);
}

void CheckPlace(const char* name, const at::Tensor& tensor, at::ScalarType type,
                at::Device device) {
  CheckDefined(name, tensor);
  TORCH_CHECK(tensor.scalar_type() == type, name, " is ", tensor.scalar_type(),
              ", want ", type);
  TORCH_CHECK(tensor.device() == device, name, " is on ", tensor.device(),
              ", want ", device);
}

void CheckDense(const char* name, const at::Tensor& tensor, at::ScalarType type,
                at::Device device) {
  CheckPlace(name, tensor, type, device);
  TORCH_CHECK(tensor.is_contiguous(), name, " is not dense");
}

Sizes SizesOf(const StepRows& rows, const DeviceTables& tables) {
  TORCH_CHECK(rows.row_chunk.defined() && rows.row_chunk.dim() == 1,
              "row_chunk is not a vector");
  TORCH_CHECK(tables.heads.defined() && tables.heads.dim() == 2,
              "heads is not a matrix");
  TORCH_CHECK(tables.position_keys.defined() && tables.position_keys.dim() == 4,
              "position_keys has not four dimensions");
  return {rows.row_chunk.size(0), tables.heads.size(0),
          tables.position_keys.size(2)};
}

void CheckTables(const DeviceTables& tables, const Sizes& sizes,
                 at::Device device) {
  const at::Tensor& keys = tables.position_keys;
  CheckShape("heads", tables.heads, {sizes.heads, int64_t{sizeof(HeadSpan)}});
  const int64_t key_tables = keys.size(0) == 1 ? 1 : sizes.heads;
  CheckShape("position_keys", keys,
             {key_tables, keys.size(1), sizes.head_dim, kBlockPositions});
  CheckDense("heads", tables.heads, at::kByte, device);
  CheckDense("position_keys", keys, at::kFloat, device);
  if (tables.mask.defined()) {
    CheckShape("mask", tables.mask,
               {kBlockPositions +
                sizes.heads * (tables.mask_columns + kBlockPositions)});
    CheckDense("mask", tables.mask, at::kFloat, device);
  }
  if (tables.content_bias.defined()) {
    CheckShape("content_bias", tables.content_bias,
               {sizes.heads, sizes.head_dim});
    CheckDense("content_bias", tables.content_bias, at::kFloat, device);
  }
  if (tables.position_bias.defined()) {
    CheckShape("position_bias", tables.position_bias,
               {sizes.heads, sizes.head_dim});
    CheckDense("position_bias", tables.position_bias, at::kFloat, device);
  }
}

void CheckProjection(const char* name, const at::Tensor& tensor,
                     const Sizes& sizes, at::Device device) {
  CheckShape(name, tensor, {sizes.rows, sizes.heads * sizes.head_dim});
  CheckPlace(name, tensor, at::kFloat, device);
  TORCH_CHECK(tensor.stride(1) == 1, name, " has strided columns");
}

void CheckInputs(const StepRows& rows, const DeviceTables& tables,
                 const Projections& projections, const CacheMemory& memory) {
  const Sizes sizes = SizesOf(rows, tables);
  const at::Device device = rows.row_chunk.device();
  CheckTables(tables, sizes, device);
  TORCH_CHECK(rows.chunks.defined() && rows.chunks.dim() == 2,
              "chunks is not a matrix");
  CheckShape("chunks", rows.chunks,
             {rows.chunks.size(0), int64_t{sizeof(Chunk)}});
  CheckDense("chunks", rows.chunks, at::kByte, device);
  CheckDense("row_chunk", rows.row_chunk, at::kInt, device);
  CheckProjection("query", projections.query, sizes, device);
  CheckProjection("key", projections.key, sizes, device);
  CheckProjection("value", projections.value, sizes, device);
  CheckDense("slab", memory.slab, at::kFloat, device);
  CheckDense("staged_keys", memory.staged_keys, at::kFloat, device);
  TORCH_CHECK(device.is_cuda() || device.is_cpu(),
              "attention's tensors are on ", device, ", want cuda or cpu");
}

template <typename T>
const T* Records(const at::Tensor& bytes) {
  return static_cast<const T*>(bytes.const_data_ptr());
}

const float* FloatsOrNull(const at::Tensor& tensor) {
  return tensor.defined() ? tensor.const_data_ptr<float>() : nullptr;
}

CacheAppendArgs AppendArgs(const StepRows& rows, const DeviceTables& tables,
                           const Projections& projections,
                           const CacheMemory& memory) {
  CacheAppendArgs args;
  args.heads = static_cast<int32_t>(tables.heads.size(0));
  args.head_dim = static_cast<int32_t>(tables.position_keys.size(2));
  args.key = projections.key.const_data_ptr<float>();
  args.key_row_stride = projections.key.stride(0);
  args.value = projections.value.const_data_ptr<float>();
  args.value_row_stride = projections.value.stride(0);
  args.cache = memory.slab.mutable_data_ptr<float>();
  args.staged_keys = memory.staged_keys.mutable_data_ptr<float>();
  args.head = Records<HeadSpan>(tables.heads);
  args.chunks = Records<Chunk>(rows.chunks);
  args.chunk_count = static_cast<int32_t>(rows.chunks.size(0));
  return args;
}

SpanAttentionArgs AttentionArgs(const StepRows& rows,
                                const DeviceTables& tables,
                                const Projections& projections,
                                const CacheMemory& memory) {
  SpanAttentionArgs args;
  args.rows = static_cast<int32_t>(rows.row_chunk.size(0));
  args.heads = static_cast<int32_t>(tables.heads.size(0));
  args.head_dim = static_cast<int32_t>(tables.position_keys.size(2));
  args.query = projections.query.const_data_ptr<float>();
  args.query_row_stride = projections.query.stride(0);
  args.value = projections.value.const_data_ptr<float>();
  args.value_row_stride = projections.value.stride(0);
  args.cache = memory.slab.const_data_ptr<float>();
  args.staged_keys = memory.staged_keys.const_data_ptr<float>();
  args.chunks = Records<Chunk>(rows.chunks);
  args.row_chunk = rows.row_chunk.const_data_ptr<int32_t>();
  args.head = Records<HeadSpan>(tables.heads);
  if (tables.mask.defined()) {
    args.mask = tables.mask.const_data_ptr<float>() + kBlockPositions;
    args.mask_columns = tables.mask_columns;
    args.mask_head_stride = tables.mask_columns + kBlockPositions;
  }
  const at::Tensor& keys = tables.position_keys;
  args.position_keys = keys.const_data_ptr<float>();
  args.position_columns = static_cast<int32_t>(keys.size(1) * kBlockPositions);
  args.position_reach = tables.position_reach;
  args.position_head_stride = keys.size(0) == 1 ? 0 : keys.stride(0);
  args.content_bias = FloatsOrNull(tables.content_bias);
  args.position_bias = FloatsOrNull(tables.position_bias);
  args.min_distance = tables.min_distance;
  args.renormalize = tables.renormalize;
  args.empty_start = tables.empty_start;
  args.scale = tables.scale;
  return args;
}

void CheckDone(const char* error) { TORCH_CHECK(error == nullptr, error); }

void LaunchOnCuda(const CacheAppendArgs& append,
                  const SpanAttentionArgs& attention, at::Device device) {
  const kernels::Stream stream =
      c10::cuda::getCurrentCUDAStream(device.index()).stream();
  CheckDone(kernels::StageKeysCuda(append, stream));
  CheckDone(kernels::SpanAttentionCuda(attention, stream));
  CheckDone(kernels::AppendToCacheCuda(append, stream));
}

void RunOnCpu(const CacheAppendArgs& append,
              const SpanAttentionArgs& attention) {
  const int64_t chunk_heads = int64_t{append.chunk_count} * append.heads;
  const at::Tensor scratch =
      at::empty({kernels::SpanAttentionScratchFloats(attention)}, at::kFloat);
  CheckDone(kernels::StageKeysCpu(append, 0, chunk_heads));
  CheckDone(kernels::SpanAttentionCpu(attention, 0,
                                      kernels::SpanAttentionTasks(attention),
                                      scratch.mutable_data_ptr<float>()));
  CheckDone(kernels::AppendToCacheCpu(append, 0, chunk_heads));
}

}  // namespace

at::Tensor Attend(const StepRows& rows, const DeviceTables& tables,
                  const Projections& projections, const CacheMemory& memory) {
  CheckInputs(rows, tables, projections, memory);
  const CacheAppendArgs append = AppendArgs(rows, tables, projections, memory);
  SpanAttentionArgs attention =
      AttentionArgs(rows, tables, projections, memory);
  const at::Tensor out =
      at::empty(projections.query.sizes(), projections.query.options());
  attention.out = out.mutable_data_ptr<float>();
  attention.out_row_stride = out.stride(0);
  if (out.is_cuda()) {
    LaunchOnCuda(append, attention, out.device());
  } else {
    RunOnCpu(append, attention);
  }
  return out;
}

}  // namespace spanlm
