// SPDX-License-Identifier: Apache-2.0
// The importers of the four families and what they share. Errors are those of
// ImportModel and name the file.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "engine/checkpoint/import/import.h"
#include "engine/checkpoint/import/state_dict.h"
#include "engine/checkpoint/import/torch_file.h"
#include "engine/checkpoint/model_dir.h"
#include "engine/model_config.h"

namespace spanlm {

// Hyperparameters of Transformer-XL that no tensor's shape tells; those of the
// second group must have the one value that this program knows.
struct TransformerXlSettings {
  std::optional<int64_t> mem_len;
  std::optional<int64_t> clamp_len;
  std::optional<bool> same_length;

  std::optional<int64_t> attention_type;  // 0
  std::optional<int64_t> div_val;         // 1
  std::optional<bool> pre_norm;           // false
};

// The settings among the fields of a dict or record.
TransformerXlSettings ReadTransformerXlSettings(const Pickle& object,
                                                const PickleNode& fields);

// Fields that follow from the tensors' shapes.
absl::Status InferAdaptiveSpan(const StateDict& tensors, ModelFields* fields);
absl::Status InferTransformerXl(const StateDict& tensors,
                                const TransformerXlSettings& settings,
                                ModelFields* fields);

// Adds symbols and settings of `options` to `fields` and reads the tensors.
absl::StatusOr<ModelContents> FinishImport(const ImportOptions& options,
                                           ModelFields fields,
                                           StateDict* tensors);

// The published Adaptive-Span code: {"model": {"module.…"}, "iter_no", …}, or
// the model's tensors alone.
absl::StatusOr<ModelContents> ImportOriginal(const ImportOptions& options,
                                             TorchFile* file);

// fairseq's adaptive_span and transformer_xl: {"model": {"decoder.model.…"},
// "cfg" or "args", …}.
absl::StatusOr<ModelContents> ImportFairseq(const ImportOptions& options,
                                            TorchFile* file);

// kimiyoung's module as an object, or its tensors alone.
absl::StatusOr<ModelContents> ImportKimiyoung(const ImportOptions& options,
                                              TorchFile* file);

// Hugging Face's tensors with the config.json at `config_path`; empty: none.
absl::StatusOr<ModelContents> ImportHuggingFace(const ImportOptions& options,
                                                const std::string& config_path,
                                                TorchFile* file);

}  // namespace spanlm
