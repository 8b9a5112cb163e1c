// SPDX-License-Identifier: Apache-2.0
// Model directories as checkpoints that the published programs load: the way
// back of import/.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/checkpoint/model_dir.h"

namespace spanlm {

enum class ExportFormat {
  kFairseq,      // X.pt of fairseq's adaptive_span or transformer_xl
  kOriginal,     // X.pt of the published Adaptive-Span code
  kHuggingFace,  // a folder of pytorch_model.bin and config.json (TransfoXL)
};

// "fairseq", "original" or "huggingface". kInvalidArgument names another.
absl::StatusOr<ExportFormat> ParseExportFormat(absl::string_view name);

struct ExportReport {
  std::vector<std::string> files;  // paths, the checkpoint's first
  std::vector<std::string> notes;  // what its user has to know, for people
};

// Writes `model` to `destination`, a file or (Hugging Face) a folder, and the
// symbols, where their bytes are known, to a text file beside it: dict.txt for
// fairseq, vocab.txt for the original code. Each file is written atomically,
// the weights last. Parameters are float32; a format never changes what the
// model computes. kFailedPrecondition: the format cannot express the model (it
// names the field, its value and what the format computes), or there is
// something else at `destination` or under a text file's name; kOutOfRange:
// 4 GiB or more; kUnavailable: the disk refuses.
absl::StatusOr<ExportReport> ExportModel(const ModelDir& model,
                                         ExportFormat format,
                                         const std::string& destination);

}  // namespace spanlm
