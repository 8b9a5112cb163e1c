// SPDX-License-Identifier: Apache-2.0
// Both architectures as their recursion reads (docs/model.md): in double, one
// position and one distance after the other, no caches, blocks or tables.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "engine/model_config.h"
#include "engine/tensor_view.h"

namespace spanlm {

// ln P after each symbol of a text read from its start, [symbols][vocab_size].
// The tensors must be there and fit; Transformer-XL with same_length only.
std::vector<std::vector<double>> DenseLogProbs(
    const ModelConfig& config, const TensorSource& tensors,
    absl::Span<const uint16_t> symbols);

}  // namespace spanlm
