// SPDX-License-Identifier: Apache-2.0
#include "engine/checkpoint/import/import.h"

#include <filesystem>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "engine/checkpoint/import/families.h"
#include "engine/checkpoint/import/symbols.h"

namespace spanlm {
namespace {

namespace fs = std::filesystem;

constexpr char kHuggingFaceWeights[] = "pytorch_model.bin";

absl::Status AddSymbols(const ImportOptions& options, ModelFields* fields) {
  if (!options.dictionary_path.empty() &&
      !options.vocabulary_text_path.empty()) {
    return absl::InvalidArgumentError(
        "both a dictionary and a vocabulary text, want one of them");
  }
  if (!options.dictionary_path.empty()) {
    return ReadDictionary(options.dictionary_path, fields);
  }
  if (!options.vocabulary_text_path.empty()) {
    return ReadVocabularyText(options.vocabulary_text_path, fields);
  }
  return absl::OkStatus();
}

// Adds symbols and settings; what the file itself has out of bounds is not the
// caller's fault.
absl::Status CompleteFields(const ImportOptions& options,
                            const std::string& source, ModelFields* fields) {
  SPANLM_RETURN_IF_ERROR(AddSymbols(options, fields));
  SPANLM_RETURN_IF_ERROR(ApplySettings(options.settings, fields));
  const absl::Status status = ModelConfig::Create(*fields).status();
  if (status.ok()) return status;
  const absl::string_view message = status.message();
  const std::string field(message.substr(0, message.find_first_of(": ")));
  if (options.settings.count(field) > 0) return status;
  return absl::FailedPreconditionError(absl::StrCat(
      source, ": ", message, " (a setting of that name can change it)"));
}

absl::StatusOr<ModelContents> ImportModelDir(const std::string& path,
                                             const ImportOptions& options) {
  SPANLM_ASSIGN_OR_RETURN(const ModelDir model, ModelDir::Open(path));
  ModelContents contents;
  contents.fields = model.config().fields();
  SPANLM_RETURN_IF_ERROR(CompleteFields(options, path, &contents.fields));
  for (const std::string& name : model.names()) {
    SPANLM_ASSIGN_OR_RETURN(const TensorView view, model.Find(name));
    contents.tensors.push_back(
        {name, view.dtype, view.shape,
         std::string(reinterpret_cast<const char*>(view.bytes.data()),
                     view.bytes.size())});
  }
  return contents;
}

std::string ConfigBeside(const std::string& path) {
  const fs::path config = fs::path(path).parent_path() / "config.json";
  std::error_code error;
  return fs::exists(config, error) ? config.string() : "";
}

// By the evidence of its names.
absl::StatusOr<ModelContents> ImportTorchFile(const std::string& path,
                                              const ImportOptions& options) {
  SPANLM_ASSIGN_OR_RETURN(TorchFile file, TorchFile::Open(path));
  const Pickle& object = file.object();
  if (object.root().kind == PickleKind::kRecord) {
    return ImportKimiyoung(options, &file);
  }
  if (const PickleNode* model = object.Find(object.root(), "model")) {
    const StateDict names = StateDict::FromDict(&file, *model, "");
    if (names.HasPart("decoder.model.")) return ImportFairseq(options, &file);
    if (names.HasPart("key_pe")) return ImportOriginal(options, &file);
  } else {
    const StateDict names = StateDict::FromDict(&file, object.root(), "");
    if (names.Has("transformer.word_emb.emb_layers.0.weight")) {
      return ImportHuggingFace(options, ConfigBeside(path), &file);
    }
    if (names.HasPart("word_emb.emb_layers.0.weight")) {
      return ImportKimiyoung(options, &file);
    }
    if (names.HasPart("key_pe")) return ImportOriginal(options, &file);
  }
  return absl::FailedPreconditionError(
      absl::StrCat(path,
                   ": no checkpoint of a family that this program knows "
                   "(Adaptive-Span, fairseq, kimiyoung's Transformer-XL, "
                   "Hugging Face's TransfoXL)"));
}

}  // namespace

absl::StatusOr<ModelContents> FinishImport(const ImportOptions& options,
                                           ModelFields fields,
                                           StateDict* tensors) {
  SPANLM_RETURN_IF_ERROR(
      CompleteFields(options, tensors->file().path(), &fields));
  return tensors->Read(fields);
}

absl::StatusOr<ModelContents> ImportModel(const std::string& source,
                                          const ImportOptions& options) {
  std::error_code error;
  if (!fs::is_directory(source, error)) {
    return ImportTorchFile(source, options);
  }
  const std::string weights = absl::StrCat(source, "/", kHuggingFaceWeights);
  if (fs::exists(weights, error)) return ImportTorchFile(weights, options);
  return ImportModelDir(source, options);
}

}  // namespace spanlm
