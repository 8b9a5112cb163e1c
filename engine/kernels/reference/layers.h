// SPDX-License-Identifier: Apache-2.0
// The small kernels as their formulas read, in double.
#pragma once

#include <vector>

#include "engine/kernels/layer_norm.h"
#include "engine/kernels/log_softmax.h"
#include "engine/kernels/packed_linear.h"

namespace spanlm::kernels {

// [rows, outputs]; `weights` as they were before packing, [outputs, inputs].
std::vector<double> LinearReference(const PackedLinearArgs& args,
                                    const float* weights);
std::vector<double> LayerNormReference(const LayerNormArgs& args);
std::vector<double> LogSoftmaxReference(const LogSoftmaxArgs& args);

}  // namespace spanlm::kernels
