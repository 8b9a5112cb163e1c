// SPDX-License-Identifier: Apache-2.0
// Hugging Face's TransfoXL: pytorch_model.bin and its config.json
// (docs/model-directory.md).
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "engine/checkpoint/export/layouts.h"
#include "nlohmann/json.hpp"

namespace spanlm {
namespace {

using Json = nlohmann::ordered_json;

absl::Status CheckExpressible(const ModelConfig& config) {
  if (config->architecture != Architecture::kTransformerXl) {
    return absl::FailedPreconditionError(absl::StrCat(
        "architecture: ", Name(config->architecture),
        ", Hugging Face's TransfoXL is transformer_xl alone (--format original "
        "holds Adaptive Span with renormalize true, fairseq with false)"));
  }
  return CheckZeroMemory(config);
}

// Fields of TransfoXLConfig. Dropout and initialisation are no part of a
// model: no dropout, and the library's own defaults.
std::string ConfigJson(const ModelFields& fields, bool is_tied) {
  Json json = {{"model_type", "transfo-xl"},
               {"architectures", Json::array({"TransfoXLLMHeadModel"})},
               {"vocab_size", fields.vocab_size},
               {"cutoffs", Json::array()},
               {"d_model", fields.d_model},
               {"d_embed", fields.d_model},
               {"n_head", fields.n_head},
               {"d_head", fields.d_head},
               {"d_inner", fields.d_inner},
               {"div_val", 1},
               {"pre_lnorm", false},
               {"n_layer", fields.n_layer},
               {"mem_len", fields.mem_len},
               {"clamp_len", fields.clamp_len},
               {"same_length", fields.same_length},
               {"attn_type", 0},
               {"untie_r", true},
               {"adaptive", true},
               {"sample_softmax", -1},
               {"tie_projs", Json::array({false})},
               {"dropout", 0.0},
               {"dropatt", 0.0},
               {"layer_norm_epsilon", 1e-5},
               {"torch_dtype", "float32"}};
  if (!is_tied) {
    json["tie_word_embeddings"] = false;
    json["tie_weight"] = false;  // its name in older versions
  }
  return json.dump(2) + "\n";
}

}  // namespace

absl::StatusOr<ForeignModel> MakeHuggingFace(const ModelDir& model) {
  const ModelConfig& config = model.config();
  SPANLM_RETURN_IF_ERROR(CheckExpressible(config));
  SPANLM_ASSIGN_OR_RETURN(std::vector<FloatTensor> tensors,
                          ReadFloatTensors(model));
  RepeatBiases(config, &tensors);
  ForeignModel result;
  result.configuration =
      ConfigJson(config.fields(),
                 FindTensor(tensors, "crit.out_layers.0.weight") == nullptr);
  TorchZipWriter file;
  const PickleValue state = MakeStateDict(tensors, "", TransformerName, &file);
  tensors.clear();  // the file has a copy
  SPANLM_ASSIGN_OR_RETURN(result.checkpoint, std::move(file).Finish(state));
  if (config.knows_bytes()) {
    result.notes.push_back(
        "token ids are the model's symbols; there is no tokenizer for them");
  }
  return result;
}

}  // namespace spanlm
