// SPDX-License-Identifier: Apache-2.0
// Hugging Face's TransfoXL: pytorch_model.bin and its config.json.
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "engine/checkpoint/import/families.h"
#include "engine/checkpoint/mapped_file.h"
#include "nlohmann/json.hpp"

namespace spanlm {
namespace {

using Json = nlohmann::json;

constexpr size_t kMaxConfigSize = size_t{1} << 24;

std::optional<int64_t> IntField(const Json& config, const char* name) {
  const auto entry = config.find(name);
  if (entry == config.end() || !entry->is_number_integer()) return std::nullopt;
  return entry->get<int64_t>();
}

std::optional<bool> BoolField(const Json& config, const char* name) {
  const auto entry = config.find(name);
  if (entry == config.end() || !entry->is_boolean()) return std::nullopt;
  return entry->get<bool>();
}

absl::StatusOr<TransformerXlSettings> ReadConfig(const std::string& path) {
  SPANLM_ASSIGN_OR_RETURN(const MappedFile file, MappedFile::Open(path));
  const absl::string_view text(
      reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
  if (text.size() > kMaxConfigSize) {
    return absl::DataLossError(absl::StrCat(
        path, ": ", text.size(), " bytes, want at most ", kMaxConfigSize));
  }
  const Json config = Json::parse(text.begin(), text.end(), nullptr,
                                  /*allow_exceptions=*/false);
  if (!config.is_object()) {
    return absl::DataLossError(absl::StrCat(path, ": not a JSON object"));
  }
  TransformerXlSettings settings;
  settings.mem_len = IntField(config, "mem_len");
  settings.clamp_len = IntField(config, "clamp_len");
  settings.same_length = BoolField(config, "same_length");
  settings.attention_type = IntField(config, "attn_type");
  settings.div_val = IntField(config, "div_val");
  settings.pre_norm = BoolField(config, "pre_lnorm");
  return settings;
}

}  // namespace

absl::StatusOr<ModelContents> ImportHuggingFace(const ImportOptions& options,
                                                const std::string& config_path,
                                                TorchFile* file) {
  TransformerXlSettings settings;
  if (!config_path.empty()) {
    SPANLM_ASSIGN_OR_RETURN(settings, ReadConfig(config_path));
  }
  StateDict tensors = StateDict::FromDict(file, file->object().root(), "");
  tensors.StripPrefix("transformer.");
  ModelFields fields;
  fields.family = Family::kHuggingFace;
  fields.memory_start = MemoryStart::kZero;
  SPANLM_RETURN_IF_ERROR(InferTransformerXl(tensors, settings, &fields));
  return FinishImport(options, std::move(fields), &tensors);
}

}  // namespace spanlm
