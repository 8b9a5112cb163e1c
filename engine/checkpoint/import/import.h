// SPDX-License-Identifier: Apache-2.0
// Foreign checkpoints to model directories, without running code of theirs.
#pragma once

#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "engine/checkpoint/model_dir.h"

namespace spanlm {

struct ImportOptions {
  std::string dictionary_path;  // fairseq dict.txt; empty: none
  // Original Adaptive-Span: the training text whose order of appearance fixed
  // the symbols (decimal text or raw bytes); empty: none.
  std::string vocabulary_text_path;
  // What the file does not hold or should be changed: field of config.json to
  // its value as text, e.g. {"ramp", "32"}, {"same_length", "true"}.
  std::map<std::string, std::string> settings;
};

// Reads `source`: a .pt or .bin of the published Adaptive-Span code, fairseq,
// kimiyoung's Transformer-XL or Hugging Face (a file, or its folder with
// config.json), in either container, or a model directory of ours. Tensors keep
// their values and precision. kNotFound, kDataLoss (a damaged file) or
// kFailedPrecondition (not a known family) name the file and the thing;
// kInvalidArgument names a bad setting.
absl::StatusOr<ModelContents> ImportModel(const std::string& source,
                                          const ImportOptions& options);

// Sets fields of config.json by name. kInvalidArgument names an unknown field
// or a value that does not parse.
absl::Status ApplySettings(const std::map<std::string, std::string>& settings,
                           ModelFields* fields);

}  // namespace spanlm
