// SPDX-License-Identifier: Apache-2.0
// A batch's rows shared out among threads: each does a whole pass for its rows,
// so that they meet once an update instead of at every operator.
#pragma once

#include <c10/core/Device.h>

#include <cstdint>
#include <functional>
#include <vector>

#include "engine/model/byte_model.h"

namespace spanlm {

// How many threads work from now on; 0: one for each core that this process is
// allowed.
void UseThreads(int32_t threads);

// Rows [first, first + count) of a batch.
struct RowPart {
  int64_t first = 0;
  int64_t count = 0;
};

// `rows` in as many nearly equal parts as LibTorch has threads, at most one a
// row; one part on a GPU. Sums depend on how many there are, on nothing else.
std::vector<RowPart> MakeRowParts(int64_t rows, at::Device device);

// Runs body(index, parts[index]) for all parts side by side; LibTorch works
// with one thread inside. What one of them throws is thrown here.
void ForRowParts(const std::vector<RowPart>& parts,
                 const std::function<void(size_t, const RowPart&)>& body);

// The memories of the parts as that of all rows, and back.
ModelMemory JoinRows(const std::vector<ModelMemory>& memories);
std::vector<ModelMemory> SplitRows(const ModelMemory& memory,
                                   const std::vector<RowPart>& parts);

}  // namespace spanlm
