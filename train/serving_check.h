// SPDX-License-Identifier: Apache-2.0
// What was saved, scored by the serving engine beside the model in training.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "engine/model/byte_model.h"
#include "train/symbol_text.h"

namespace spanlm {

struct ServingCheck {
  int64_t scored = 0;      // symbols, as Validate counts them
  double train_bits = 0;   // Σ −log2 P in block form, fp32
  double served_bits = 0;  // the same symbols by the engine
  // Bits per byte; 0 where nothing was scored.
  double difference() const;
};

// Whether `model` in block form and an engine see the same positions: true but
// for Transformer-XL without same_length, whose blocks end in longer windows.
bool ServesAsItTrains(const ModelConfig& config);

struct ServingCheckOptions {
  int64_t rows = 1;     // equal slices of the text
  int64_t block = 1;    // symbols of a block of the model in training
  int32_t threads = 0;  // of the engine
};

// Scores `text` by `model` and by an engine that opens `model_dir`, where
// `model` was saved. Nothing where the text holds a symbol without a byte. The
// errors of CreateEngine.
absl::StatusOr<ServingCheck> CheckServing(const ByteModel& model,
                                          const std::string& model_dir,
                                          const SymbolText& text,
                                          const ServingCheckOptions& options);

}  // namespace spanlm
