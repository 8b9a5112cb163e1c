// SPDX-License-Identifier: Apache-2.0
// All parameters as one row of short pieces, so that a pass over them is one
// meeting of the threads, whatever the number of tensors.
#pragma once

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "engine/model/layers.h"

namespace spanlm {

// Elements [begin, end) of a tensor laid out flat.
struct ParameterPiece {
  size_t tensor = 0;
  int64_t begin = 0;
  int64_t end = 0;

  // That part of `whole`, which is dense; shares its memory.
  at::Tensor Of(const at::Tensor& whole) const {
    return whole.view({-1}).narrow(0, begin, end - begin);
  }
};

// Cut at fixed places, so that sums over pieces do not depend on threads; on a
// GPU a tensor is one piece.
inline std::vector<ParameterPiece> CutIntoPieces(
    const std::vector<NamedTensor>& parameters) {
  constexpr int64_t kPieceElements = 1 << 15;
  std::vector<ParameterPiece> pieces;
  for (size_t i = 0; i < parameters.size(); ++i) {
    const int64_t size = parameters[i].tensor.numel();
    const int64_t most = parameters[i].tensor.is_cpu() ? kPieceElements : size;
    for (int64_t begin = 0; begin < size; begin += most) {
      pieces.push_back({i, begin, std::min(begin + most, size)});
    }
  }
  return pieces;
}

// Calls body(index, pieces[index]) for all of them, by any thread.
template <typename Body>
void ForPieces(const std::vector<ParameterPiece>& pieces, const Body& body) {
  at::parallel_for(0, static_cast<int64_t>(pieces.size()), 1,
                   [&](int64_t begin, int64_t end) {
                     for (int64_t i = begin; i < end; ++i) body(i, pieces[i]);
                   });
}

}  // namespace spanlm
