// SPDX-License-Identifier: Apache-2.0
// The published Adaptive-Span code (docs/model-directory.md).
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "engine/checkpoint/import/families.h"

namespace spanlm {

absl::Status InferAdaptiveSpan(const StateDict& tensors, ModelFields* fields) {
  if (tensors.HasPart("persistent_memory")) {
    return absl::FailedPreconditionError(
        absl::StrCat(tensors.file().path(),
                     ": has persistent memory (all-attention layers), which "
                     "this program does not know"));
  }
  fields->architecture = Architecture::kAdaptiveSpan;
  SPANLM_ASSIGN_OR_RETURN(const auto embedding,
                          tensors.Shape("in_emb.weight", 2));
  SPANLM_ASSIGN_OR_RETURN(const auto keys, tensors.Shape("key_pe", 3));
  SPANLM_ASSIGN_OR_RETURN(const auto inner,
                          tensors.Shape("layers.0.ff.fc1.weight", 2));
  fields->n_layer = tensors.CountLayers();
  fields->vocab_size = embedding[0];
  fields->d_model = embedding[1];
  fields->d_head = keys[1];
  fields->attn_span = keys[2];
  fields->d_inner = inner[0];
  const std::string spans =
      "layers.0.attn.attn.adaptive_span._mask.current_val";
  if (const auto heads = tensors.Shape(spans, 3); heads.ok()) {
    fields->n_head = (*heads)[0];
    return absl::OkStatus();
  }
  SPANLM_RETURN_IF_ERROR(tensors.Shape(spans, 1).status());
  fields->adapt_span_layer = true;
  fields->n_head = fields->d_head == 0 ? 0 : fields->d_model / fields->d_head;
  return absl::OkStatus();
}

absl::StatusOr<ModelContents> ImportOriginal(const ImportOptions& options,
                                             TorchFile* file) {
  const PickleNode& root = file->object().root();
  const PickleNode* model = file->object().Find(root, "model");
  StateDict tensors =
      StateDict::FromDict(file, model == nullptr ? root : *model, "");
  tensors.StripPrefix("module.");
  ModelFields fields;
  fields.family = Family::kOriginal;
  SPANLM_RETURN_IF_ERROR(InferAdaptiveSpan(tensors, &fields));
  SPANLM_ASSIGN_OR_RETURN(ModelContents contents,
                          FinishImport(options, std::move(fields), &tensors));
  contents.is_ramp_assumed = true;
  return contents;
}

}  // namespace spanlm
