// SPDX-License-Identifier: Apache-2.0
// fairseq's adaptive_span and transformer_xl (docs/model-directory.md).
#include <limits>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "engine/checkpoint/import/families.h"

namespace spanlm {
namespace {

constexpr char kPrefix[] = "decoder.model.";

// The hyperparameters: cfg["model"], or "args" of older files; either may be a
// dict or an argparse.Namespace.
const PickleNode& ModelArguments(const Pickle& object) {
  static const PickleNode& none = *new PickleNode();
  if (const PickleNode* config = object.Find(object.root(), "cfg")) {
    if (const PickleNode* model = object.Find(*config, "model")) return *model;
  }
  const PickleNode* args = object.Find(object.root(), "args");
  return args == nullptr ? none : *args;
}

absl::StatusOr<ModelContents> ImportAdaptiveSpan(const ImportOptions& options,
                                                 StateDict* tensors) {
  const Pickle& object = tensors->file().object();
  ModelFields fields;
  fields.family = Family::kFairseq;
  fields.renormalize = false;
  SPANLM_RETURN_IF_ERROR(InferAdaptiveSpan(*tensors, &fields));
  const PickleNode* ramp =
      object.Find(ModelArguments(object), "adapt_span_ramp");
  const bool has_ramp = ramp != nullptr && ramp->kind == PickleKind::kInt;
  if (has_ramp) {
    if (ramp->integer < 0 ||
        ramp->integer > std::numeric_limits<int32_t>::max()) {
      return absl::DataLossError(absl::StrCat(
          tensors->file().path(), ": adapt_span_ramp: ", ramp->integer));
    }
    fields.ramp = static_cast<int32_t>(ramp->integer);
  }
  SPANLM_ASSIGN_OR_RETURN(ModelContents contents,
                          FinishImport(options, std::move(fields), tensors));
  contents.is_ramp_assumed = !has_ramp;
  return contents;
}

absl::StatusOr<ModelContents> ImportTransformerXl(const ImportOptions& options,
                                                  StateDict* tensors) {
  const Pickle& object = tensors->file().object();
  tensors->StripPrefix("transformer.");
  ModelFields fields;
  fields.family = Family::kFairseq;
  fields.memory_start = MemoryStart::kZero;
  SPANLM_RETURN_IF_ERROR(InferTransformerXl(
      *tensors, ReadTransformerXlSettings(object, ModelArguments(object)),
      &fields));
  return FinishImport(options, std::move(fields), tensors);
}

}  // namespace

absl::StatusOr<ModelContents> ImportFairseq(const ImportOptions& options,
                                            TorchFile* file) {
  const PickleNode* model = file->object().Find(file->object().root(), "model");
  StateDict tensors = StateDict::FromDict(file, *model, kPrefix);
  if (tensors.HasPart("adaptive_span.")) {
    return ImportAdaptiveSpan(options, &tensors);
  }
  return ImportTransformerXl(options, &tensors);
}

}  // namespace spanlm
