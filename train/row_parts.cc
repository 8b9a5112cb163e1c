// SPDX-License-Identifier: Apache-2.0
#include "train/row_parts.h"

#include <ATen/Functions.h>
#include <ATen/Parallel.h>

#include <algorithm>

#include "engine/step/worker_team.h"

namespace spanlm {

void UseThreads(int32_t threads) {
  at::set_num_threads(threads > 0 ? threads : AllowedCpuCount());
}

std::vector<RowPart> MakeRowParts(int64_t rows, at::Device device) {
  const int64_t threads = device.is_cpu() ? at::get_num_threads() : 1;
  const int64_t count = std::min(threads, rows);
  std::vector<RowPart> parts;
  for (int64_t i = 0; i < count; ++i) {
    const int64_t first = rows * i / count;
    parts.push_back({first, rows * (i + 1) / count - first});
  }
  return parts;
}

void ForRowParts(const std::vector<RowPart>& parts,
                 const std::function<void(size_t, const RowPart&)>& body) {
  at::parallel_for(0, static_cast<int64_t>(parts.size()), 1,
                   [&](int64_t begin, int64_t end) {
                     for (int64_t i = begin; i < end; ++i) body(i, parts[i]);
                   });
}

ModelMemory JoinRows(const std::vector<ModelMemory>& memories) {
  ModelMemory joined;
  for (size_t layer = 0; layer < memories.front().layers.size(); ++layer) {
    std::vector<at::Tensor> rows;
    for (const ModelMemory& memory : memories) {
      rows.push_back(memory.layers[layer]);
    }
    joined.layers.push_back(at::cat(rows, 0));
  }
  return joined;
}

std::vector<ModelMemory> SplitRows(const ModelMemory& memory,
                                   const std::vector<RowPart>& parts) {
  std::vector<ModelMemory> memories(parts.size());
  for (size_t i = 0; i < parts.size(); ++i) {
    for (const at::Tensor& layer : memory.layers) {
      memories[i].layers.push_back(
          layer.narrow(0, parts[i].first, parts[i].count).contiguous());
    }
  }
  return memories;
}

}  // namespace spanlm
