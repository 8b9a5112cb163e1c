// SPDX-License-Identifier: Apache-2.0
#include "engine/checkpoint/import/state_dict.h"

#include <algorithm>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "base/status_macros.h"
#include "engine/checkpoint/model_tensors.h"

namespace spanlm {
namespace {

constexpr int32_t kMaxSize = 1 << 30;
constexpr char kEmbedding[] = "word_emb.emb_layers.0.weight";
constexpr char kOutput[] = "crit.out_layers.0.weight";

// Leaves out an output weight that repeats the embedding.
void DropTiedOutput(std::vector<TensorData>* tensors) {
  const TensorData* embedding = nullptr;
  auto output = tensors->end();
  for (auto tensor = tensors->begin(); tensor != tensors->end(); ++tensor) {
    if (tensor->name == kEmbedding) embedding = &*tensor;
    if (tensor->name == kOutput) output = tensor;
  }
  if (embedding == nullptr || output == tensors->end() ||
      output->dtype != embedding->dtype || output->bytes != embedding->bytes) {
    return;
  }
  tensors->erase(output);
}

}  // namespace

StateDict StateDict::FromDict(TorchFile* file, const PickleNode& dict,
                              absl::string_view prefix) {
  StateDict result(file);
  const Pickle& object = file->object();
  if (dict.kind != PickleKind::kDict) return result;
  for (size_t i = 0; i + 1 < dict.items.size(); i += 2) {
    const PickleNode& name = object.node(dict.items[i]);
    const PickleNode& value = object.node(dict.items[i + 1]);
    if (name.kind == PickleKind::kString && value.kind == PickleKind::kTensor &&
        absl::StartsWith(name.text, prefix)) {
      result.Add(name.text.substr(prefix.size()), &object.tensor(value));
    }
  }
  return result;
}

void StateDict::StripPrefix(absl::string_view prefix) {
  std::map<std::string, const PickleTensor*> stripped;
  for (const auto& [name, tensor] : tensors_) {
    stripped[absl::StartsWith(name, prefix) ? name.substr(prefix.size())
                                            : name] = tensor;
  }
  tensors_ = std::move(stripped);
}

bool StateDict::HasPart(absl::string_view part) const {
  for (const auto& [name, tensor] : tensors_) {
    if (absl::StrContains(name, part)) return true;
  }
  return false;
}

int32_t StateDict::CountLayers() const {
  int32_t count = 0;
  for (const auto& [name, tensor] : tensors_) {
    absl::string_view rest = name;
    int32_t layer = 0;
    if (absl::ConsumePrefix(&rest, "layers.") &&
        absl::SimpleAtoi(rest.substr(0, rest.find('.')), &layer) &&
        layer < kMaxSize) {
      count = std::max(count, layer + 1);
    }
  }
  return count;
}

absl::StatusOr<std::vector<int32_t>> StateDict::Shape(const std::string& name,
                                                      size_t dimensions) const {
  const auto tensor = tensors_.find(name);
  if (tensor == tensors_.end()) {
    return Error(absl::StatusCode::kDataLoss, name, "is missing");
  }
  const std::vector<int64_t>& shape = tensor->second->shape;
  if (shape.size() != dimensions) {
    return Error(
        absl::StatusCode::kDataLoss, name,
        absl::StrCat("has ", shape.size(), " dimensions, want ", dimensions));
  }
  std::vector<int32_t> sizes;
  for (const int64_t size : shape) {
    if (size > kMaxSize) {
      return Error(
          absl::StatusCode::kDataLoss, name,
          absl::StrCat("has a size of ", size, ", want at most ", kMaxSize));
    }
    sizes.push_back(static_cast<int32_t>(size));
  }
  return sizes;
}

absl::StatusOr<ModelContents> StateDict::Read(const ModelFields& fields) {
  SPANLM_ASSIGN_OR_RETURN(const ModelConfig config,
                          ModelConfig::Create(fields));
  SPANLM_RETURN_IF_ERROR(CheckNames(config));
  ModelContents contents;
  contents.fields = fields;
  for (const TensorSpec& spec : TensorsOf(config)) {
    const auto tensor = tensors_.find(spec.name);
    if (tensor == tensors_.end()) {
      if (spec.is_optional) continue;
      return Error(absl::StatusCode::kDataLoss, spec.name, "is missing");
    }
    // Before its bytes are read: a wrong shape may claim any number of them.
    if (tensor->second->shape != spec.shape) {
      return Error(
          absl::StatusCode::kDataLoss, spec.name,
          absl::StrCat("has shape [",
                       absl::StrJoin(tensor->second->shape, ", "), "], want [",
                       absl::StrJoin(spec.shape, ", "), "]"));
    }
    SPANLM_ASSIGN_OR_RETURN(TensorData data,
                            file_->Read(*tensor->second, spec.name));
    contents.tensors.push_back(std::move(data));
  }
  DropTiedOutput(&contents.tensors);
  std::vector<TensorView> views;
  for (const TensorData& tensor : contents.tensors) {
    views.push_back(tensor.view());
  }
  const absl::Status status = CountParameters(config, views).status();
  if (status.ok()) return contents;
  return absl::DataLossError(
      absl::StrCat(file_->path(), ": ", status.message()));
}

absl::Status StateDict::Error(absl::StatusCode code, const std::string& name,
                              absl::string_view what) const {
  return absl::Status(
      code, absl::StrCat(file_->path(), ": tensor ", name, " ", what));
}

absl::Status StateDict::CheckNames(const ModelConfig& config) const {
  std::set<std::string> known;
  for (const TensorSpec& spec : TensorsOf(config)) known.insert(spec.name);
  for (const auto& [name, tensor] : tensors_) {
    if (known.count(name) == 0) {
      return Error(absl::StatusCode::kFailedPrecondition, name,
                   absl::StrCat("is not part of ", Name(config->architecture),
                                " as this program knows it"));
    }
  }
  return absl::OkStatus();
}

}  // namespace spanlm
