// SPDX-License-Identifier: Apache-2.0
#include "engine/checkpoint/export/layouts.h"

#include <map>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace spanlm {
namespace {

constexpr int32_t kPublishedRounding = 64;
constexpr char kEmbedding[] = "word_emb.emb_layers.0.weight";
constexpr char kOutput[] = "crit.out_layers.0.weight";

}  // namespace

absl::Status CheckPublishedWindows(const ModelConfig& config) {
  if (config->block_rounding == kPublishedRounding) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("block_rounding: ", config->block_rounding,
                   ", the published code computes ", kPublishedRounding));
}

absl::Status CheckZeroMemory(const ModelConfig& config) {
  if (config->memory_start == MemoryStart::kZero) return absl::OkStatus();
  return absl::FailedPreconditionError(
      "memory_start: empty, Hugging Face's Transformer-XL, which fairseq runs, "
      "computes zero (import the model with --set memory_start=zero to have "
      "one that starts so; the scores of a text's first mem_len symbols then "
      "differ)");
}

std::string TransformerName(const std::string& name) {
  return absl::StartsWith(name, "crit.") ? name
                                         : absl::StrCat("transformer.", name);
}

PickleValue MakeStateDict(const std::vector<FloatTensor>& tensors,
                          const std::string& prefix, RenameTensor rename,
                          TorchZipWriter* file) {
  std::vector<PickleEntry> entries;
  const auto add = [&](const std::string& name, PickleValue tensor) {
    entries.push_back(
        Named(absl::StrCat(prefix, rename(name)), std::move(tensor)));
  };
  const bool is_tied = FindTensor(tensors, kEmbedding) != nullptr &&
                       FindTensor(tensors, kOutput) == nullptr;
  for (const FloatTensor& tensor : tensors) {
    const PickleValue value = file->AddTensor(tensor.shape, tensor.values);
    add(tensor.name, value);
    if (is_tied && tensor.name == kEmbedding) add(kOutput, value);
  }
  return PickleValue::OrderedDict(entries);
}

}  // namespace spanlm
