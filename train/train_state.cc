// SPDX-License-Identifier: Apache-2.0
#include "train/train_state.h"

#include <ATen/Functions.h>

#include <cstring>
#include <fstream>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "engine/checkpoint/safetensors.h"
#include "nlohmann/json.hpp"

namespace spanlm {
namespace {

constexpr int kTrainingFormatVersion = 1;
const char kTensorsFile[] = "training.safetensors";
const char kProgressFile[] = "training.json";

DType DTypeOf(at::ScalarType type) {
  switch (type) {
    case at::kHalf:
      return DType::kF16;
    case at::kBFloat16:
      return DType::kBF16;
    case at::kDouble:
      return DType::kF64;
    default:
      return DType::kF32;
  }
}

std::string MemoryName(size_t layer) { return absl::StrCat("memory.", layer); }

// What must not change between a run and its continuation.
nlohmann::json FixedOptions(const TrainOptions& options) {
  return {
      {"tokens_per_sample", options.tokens_per_sample},
      {"batch_size", options.batch_size},
      {"seed", options.seed},
      {"optimizer", options.optimizer.kind == OptimizerKind::kAdam
                        ? "adam"
                        : "adagrad_with_grad_clip"},
      {"precision", options.precision == Precision::kBf16 ? "bf16" : "fp32"}};
}

std::string ProgressJson(const TrainProgress& progress,
                         const TrainOptions& options) {
  const nlohmann::json json = {
      {"format_version", kTrainingFormatVersion},
      {"update", progress.update},
      {"epoch", progress.position.epoch},
      {"offset", progress.position.offset},
      {"seconds", progress.seconds},
      {"best_loss", progress.best_loss},
      {"fixed_options", FixedOptions(options)},
      {"lr", options.schedule.lr},
      {"warmup_updates", options.schedule.warmup_updates},
      {"max_update", options.schedule.max_update},
      {"max_seconds", options.schedule.max_seconds}};
  return json.dump(2) + "\n";
}

absl::StatusOr<nlohmann::json> ReadProgressJson(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    return absl::FailedPreconditionError(absl::StrCat(
        path, ": missing; this model directory holds no training state"));
  }
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  nlohmann::json json = nlohmann::json::parse(text, nullptr, false);
  if (!json.is_object()) {
    return absl::DataLossError(absl::StrCat(path, ": not a JSON object"));
  }
  if (json.value("format_version", 0) != kTrainingFormatVersion) {
    return absl::FailedPreconditionError(
        absl::StrCat(path, ": another format_version"));
  }
  for (const char* key : {"seconds", "best_loss"}) {
    if (!json.contains(key) || !json[key].is_number()) {
      return absl::DataLossError(absl::StrCat(path, ": no number ", key));
    }
  }
  // An offset is where the corpus is read: what is not one reads beyond it.
  for (const auto& [key, least] :
       {std::pair("update", 0), {"epoch", 1}, {"offset", 0}}) {
    const nlohmann::json value = json.value(key, nlohmann::json());
    if (!value.is_number_integer() || value.get<int64_t>() < least) {
      return absl::DataLossError(
          absl::StrCat(path, ": ", key, " is ", value.dump(),
                       ", want an integer of at least ", least));
    }
  }
  if (!json.contains("fixed_options") || !json["fixed_options"].is_object()) {
    return absl::DataLossError(absl::StrCat(path, ": no fixed_options"));
  }
  return json;
}

absl::Status CheckSame(const std::string& path, const nlohmann::json& stored,
                       const TrainOptions& options) {
  const nlohmann::json wanted = FixedOptions(options);
  for (const auto& [name, value] : wanted.items()) {
    if (stored.contains(name) && stored[name] == value) continue;
    return absl::FailedPreconditionError(absl::StrCat(
        path, ": ", name, " was ", stored.value(name, nlohmann::json()).dump(),
        " and is now ", value.dump(), "; a run continues with the same"));
  }
  return absl::OkStatus();
}

absl::Status CheckSameModel(const std::string& path, const ModelConfig& stored,
                            const ModelConfig& wanted) {
  ModelFields fields = stored.fields();
  fields.weights_sha256 = wanted->weights_sha256;
  SPANLM_ASSIGN_OR_RETURN(const ModelConfig same,
                          ModelConfig::Create(std::move(fields)));
  if (same.ToJson() == wanted.ToJson()) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat(path,
                   ": holds another model than the flags describe; give the "
                   "flags of its run, or another --save-dir"));
}

absl::StatusOr<at::Tensor> ReadTensor(const TensorSource& source,
                                      const std::string& name,
                                      at::ScalarType type) {
  SPANLM_ASSIGN_OR_RETURN(const TensorView view, source.Find(name));
  at::Tensor tensor = at::empty(view.shape, at::TensorOptions().dtype(type));
  SPANLM_RETURN_IF_ERROR(CopyFrom(source, name, tensor));
  return tensor;
}

}  // namespace

TensorData ToTensorData(const std::string& name, const at::Tensor& tensor) {
  const at::Tensor dense = tensor.detach().contiguous();
  TensorData data;
  data.name = name;
  data.dtype = DTypeOf(dense.scalar_type());
  data.shape = dense.sizes().vec();
  data.bytes.assign(static_cast<const char*>(dense.const_data_ptr()),
                    dense.nbytes());
  return data;
}

absl::StatusOr<ModelContents> ContentsOf(const ByteModel& model,
                                         const Optimizer& optimizer,
                                         const ModelMemory& memory,
                                         const TrainProgress& progress,
                                         const TrainOptions& options) {
  ModelContents contents;
  contents.fields = model.config().fields();
  for (const std::vector<NamedTensor>* list :
       {&model.parameters(), &model.buffers()}) {
    for (const NamedTensor& tensor : *list) {
      contents.tensors.push_back(ToTensorData(tensor.name, tensor.tensor));
    }
  }
  std::vector<TensorData> state;
  for (const NamedTensor& tensor : optimizer.State()) {
    state.push_back(ToTensorData(tensor.name, tensor.tensor));
  }
  for (size_t layer = 0; layer < memory.layers.size(); ++layer) {
    state.push_back(ToTensorData(MemoryName(layer), memory.layers[layer]));
  }
  SPANLM_ASSIGN_OR_RETURN(contents.extra_files[kTensorsFile],
                          SerializeSafetensors(state));
  contents.extra_files[kProgressFile] = ProgressJson(progress, options);
  return contents;
}

absl::StatusOr<TrainProgress> RestoreTraining(const std::string& path,
                                              const TrainOptions& options,
                                              ByteModel* model,
                                              Optimizer* optimizer,
                                              ModelMemory* memory) {
  SPANLM_ASSIGN_OR_RETURN(const ModelDir dir, ModelDir::Open(path));
  SPANLM_RETURN_IF_ERROR(CheckSameModel(path, dir.config(), model->config()));
  const std::string json_path = absl::StrCat(path, "/", kProgressFile);
  SPANLM_ASSIGN_OR_RETURN(const nlohmann::json json,
                          ReadProgressJson(json_path));
  SPANLM_RETURN_IF_ERROR(CheckSame(json_path, json["fixed_options"], options));
  SPANLM_ASSIGN_OR_RETURN(
      const Safetensors state,
      Safetensors::Open(absl::StrCat(path, "/", kTensorsFile)));
  SPANLM_RETURN_IF_ERROR(model->Load(dir));
  TrainProgress progress;
  progress.update = json["update"].get<int64_t>();
  progress.position.epoch = json["epoch"].get<int64_t>();
  progress.position.offset = json["offset"].get<int64_t>();
  progress.seconds = json["seconds"].get<double>();
  progress.best_loss = json["best_loss"].get<double>();
  SPANLM_RETURN_IF_ERROR(optimizer->Restore(state, progress.update));
  for (size_t layer = 0; layer < memory->layers.size(); ++layer) {
    SPANLM_ASSIGN_OR_RETURN(memory->layers[layer],
                            ReadTensor(state, MemoryName(layer),
                                       memory->layers[layer].scalar_type()));
  }
  return progress;
}

}  // namespace spanlm
