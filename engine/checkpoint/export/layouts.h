// SPDX-License-Identifier: Apache-2.0
// The layouts of the published programs. Errors are those of ExportModel.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/checkpoint/export/float_tensors.h"
#include "engine/checkpoint/export/torch_zip_writer.h"
#include "engine/checkpoint/model_dir.h"
#include "engine/model_config.h"

namespace spanlm {

// A model as some program's files hold it.
struct ForeignModel {
  std::string checkpoint;     // bytes of the .pt or .bin
  std::string symbols;        // of dict.txt or vocab.txt; empty: none
  std::string configuration;  // of Hugging Face's config.json; else empty
  std::vector<std::string> notes;
};

absl::StatusOr<ForeignModel> MakeFairseq(const ModelDir& model);
absl::StatusOr<ForeignModel> MakeOriginal(const ModelDir& model);
absl::StatusOr<ForeignModel> MakeHuggingFace(const ModelDir& model);

// What the published Adaptive-Span programs have no option for.
absl::Status CheckPublishedWindows(const ModelConfig& config);
// What Hugging Face's Transformer-XL, which fairseq runs, has no option for.
absl::Status CheckZeroMemory(const ModelConfig& config);

// Hugging Face's name of a Transformer-XL tensor: all but the output layer is
// below "transformer.".
std::string TransformerName(const std::string& name);

// A tensor of `tensors` by the name it has there, as an entry of a state dict.
using RenameTensor = std::string (*)(const std::string& name);

// The tensors as a state dict, their names put behind `prefix` after `rename`.
// An output weight that is tied comes as the embedding's own memory, as
// torch.save writes it, where the model is a Transformer-XL.
PickleValue MakeStateDict(const std::vector<FloatTensor>& tensors,
                          const std::string& prefix, RenameTensor rename,
                          TorchZipWriter* file);

}  // namespace spanlm
