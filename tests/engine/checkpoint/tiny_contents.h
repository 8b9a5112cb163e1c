// SPDX-License-Identifier: Apache-2.0
// Models of a few hundred parameters, made without LibTorch.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/checkpoint/model_dir.h"
#include "engine/model_config.h"

namespace spanlm {

// Two layers, d_model 4, four symbols.
ModelFields TinyAdaptiveSpanFields();
ModelFields TinyTransformerXlFields();

// Every tensor that a model of `fields` may have, optional ones too, float32,
// with values that differ everywhere.
std::vector<TensorData> TinyTensors(const ModelFields& fields);

// A whole model without optional tensors.
ModelContents TinyContents(const ModelFields& fields);

}  // namespace spanlm
