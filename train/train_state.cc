// SPDX-License-Identifier: Apache-2.0
#include "train/train_state.h"

#include <ATen/Functions.h>

#include <cstring>
#include <fstream>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "engine/checkpoint/digest.h"
#include "engine/checkpoint/safetensors.h"
#include "nlohmann/json.hpp"

namespace spanlm {
namespace {

constexpr int kTrainingFormatVersion = 4;
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

// Tells texts apart without reading all of a large one: the SHA-256 of its size
// and of 64 pieces from all over it.
std::string Fingerprint(const SymbolText& text) {
  constexpr int64_t kPieces = 64, kPieceSymbols = 1024;
  std::string sampled = absl::StrCat(text.size(), " ");
  for (int64_t i = 0; i < kPieces; ++i) {
    const SymbolText piece =
        text.Part(text.size() / kPieces * i, kPieceSymbols);
    std::vector<uint16_t> symbols(static_cast<size_t>(piece.size()));
    piece.Copy(0, piece.size(), symbols.data());
    sampled.append(reinterpret_cast<const char*>(symbols.data()),
                   symbols.size() * sizeof(uint16_t));
  }
  return Sha256Hex(sampled);
}

const char* NameOf(Precision precision) {
  switch (precision) {
    case Precision::kBf16:
      return "bf16";
    case Precision::kHalf:
      return "fp16";
    default:
      return "fp32";
  }
}

// What must not change between a run and its continuation, by the flags that
// say it; the first that did is named.
nlohmann::ordered_json FixedOptions(const RunFacts& run) {
  const TrainOptions& options = run.options;
  const Semantics& semantics = options.semantics;
  const auto either = [](bool is, const char* name, const char* other) {
    return is ? name : other;
  };
  return {
      {"text", Fingerprint(run.text)},
      {"tokens_per_sample", options.tokens_per_sample},
      {"rows", run.rows.rows},
      {"update_freq", options.update_freq},
      {"seed", options.seed},
      {"semantics", either(options.semantics_kind == SemanticsKind::kFairseq,
                           "fairseq", "original")},
      {"block_ends",
       either(semantics.layout == RowLayout::kSlices, "scored", "unscored")},
      {"validation_memory", either(semantics.shares_memory, "shared", "own")},
      {"span_clamp", either(semantics.span_clamp == SpanClamp::kAfterStep,
                            "step", "forward")},
      {"mask_template",
       either(semantics.rounds_mask_template, "half", "exact")},
      {"adam_eps_place", either(semantics.adam_eps == AdamEps::kAfterCorrection,
                                "after", "before")},
      {"optimizer", either(options.optimizer.kind == OptimizerKind::kAdam,
                           "adam", "adagrad_with_grad_clip")},
      {"precision", NameOf(options.precision)}};
}

// What may change, and is then said.
nlohmann::json FreeOptions(const TrainOptions& options) {
  const OptimizerOptions& optimizer = options.optimizer;
  const ScheduleOptions& schedule = options.schedule;
  return {
      {"dropout", options.dropout.activation},
      {"dropatt", options.dropout.attention},
      {"emb_dropout", options.dropout.embedding},
      {"aux_loss_scaler", options.aux_loss_scaler},
      {"adagrad_clip", optimizer.adagrad_clip},
      {"clip_norm", optimizer.clip_norm},
      {"adam_betas", {optimizer.beta1, optimizer.beta2}},
      {"adam_eps", optimizer.adam_eps},
      {"weight_decay", optimizer.weight_decay},
      {"lr", schedule.lr},
      {"lr_scheduler",
       schedule.scheduler == LrScheduler::kCosine ? "cosine" : "fixed"},
      {"warmup_updates", schedule.warmup_updates},
      {"max_update", schedule.max_update},
      {"max_seconds", schedule.max_seconds},
      {"fp16_scale_window", options.scaler.window},
      {"min_loss_scale", options.scaler.min_scale},
      {"patience", options.patience},
      {"valid_bytes", options.valid_bytes},
      {"log_losses", options.semantics.fairseq_losses ? "fairseq" : "scored"}};
}

// `tensors` are the bytes of kTensorsFile.
std::string ProgressJson(const TrainProgress& progress,
                         const LossScalerState& scaler,
                         const std::string& tensors, const RunFacts& run) {
  const nlohmann::json json = {
      {"format_version", kTrainingFormatVersion},
      {"tensors_sha256", Sha256Hex(tensors)},
      {"update", progress.update},
      {"epoch", progress.position.epoch},
      {"offset", progress.position.offset},
      {"seconds", progress.seconds},
      {"best_loss", progress.best_loss},
      {"validated_update", progress.validated_update},
      {"worse_validations", progress.worse_validations},
      {"loss_scale", scaler.scale},
      {"loss_scale_step", scaler.step},
      {"loss_scale_overflow", scaler.last_overflow},
      {"validation_pending", progress.validation_pending},
      {"fixed_options", FixedOptions(run)},
      {"options", FreeOptions(run.options)}};
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
  for (const char* key : {"seconds", "best_loss", "loss_scale"}) {
    if (!json.contains(key) || !json[key].is_number()) {
      return absl::DataLossError(absl::StrCat(path, ": no number ", key));
    }
  }
  // An offset is where the corpus is read: what is not one reads beyond it.
  for (const auto& [key, least] : {std::pair("update", 0),
                                   {"epoch", 1},
                                   {"offset", 0},
                                   {"validated_update", -1},
                                   {"worse_validations", 0},
                                   {"loss_scale_step", 0},
                                   {"loss_scale_overflow", -1}}) {
    const nlohmann::json value = json.value(key, nlohmann::json());
    if (!value.is_number_integer() || value.get<int64_t>() < least) {
      return absl::DataLossError(
          absl::StrCat(path, ": ", key, " is ", value.dump(),
                       ", want an integer of at least ", least));
    }
  }
  if (!json.contains("validation_pending") ||
      !json["validation_pending"].is_boolean()) {
    return absl::DataLossError(absl::StrCat(path, ": no validation_pending"));
  }
  for (const char* key : {"fixed_options", "options"}) {
    if (!json.contains(key) || !json[key].is_object()) {
      return absl::DataLossError(absl::StrCat(path, ": no ", key));
    }
  }
  return json;
}

absl::Status CheckSame(const std::string& path, const nlohmann::json& stored,
                       const RunFacts& run) {
  const nlohmann::ordered_json wanted = FixedOptions(run);
  for (const auto& [name, value] : wanted.items()) {
    const std::string was = stored.value(name, nlohmann::json()).dump();
    if (was == value.dump()) continue;
    return absl::FailedPreconditionError(
        absl::StrCat(path, ": ", name, " was ", was, " and is now ",
                     value.dump(), "; a run continues with the same"));
  }
  return absl::OkStatus();
}

std::vector<std::string> Changes(const nlohmann::json& stored,
                                 const TrainOptions& options) {
  std::vector<std::string> changes;
  const nlohmann::json wanted = FreeOptions(options);
  for (const auto& [name, value] : wanted.items()) {
    const nlohmann::json was = stored.value(name, nlohmann::json());
    if (was == value) continue;
    changes.push_back(
        absl::StrCat(name, ": ", value.dump(), ", was ", was.dump()));
  }
  return changes;
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

// The tensors beside the model, all of them as they were saved.
absl::StatusOr<Safetensors> OpenTensors(const std::string& path,
                                        const nlohmann::json& progress) {
  const std::string file = absl::StrCat(path, "/", kTensorsFile);
  SPANLM_ASSIGN_OR_RETURN(Safetensors tensors, Safetensors::Open(file));
  const std::string digest = Sha256Hex(tensors.bytes());
  const nlohmann::json stored =
      progress.value("tensors_sha256", nlohmann::json());
  if (stored == digest) return tensors;
  return absl::DataLossError(absl::StrCat(file, ": SHA-256 is ", digest, ", ",
                                          kProgressFile, " has ",
                                          stored.dump()));
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
  const at::Tensor dense = tensor.detach().cpu().contiguous();
  TensorData data;
  data.name = name;
  data.dtype = DTypeOf(dense.scalar_type());
  data.shape = dense.sizes().vec();
  data.bytes.assign(static_cast<const char*>(dense.const_data_ptr()),
                    dense.nbytes());
  return data;
}

absl::StatusOr<ModelContents> ContentsOf(const Learner& learner,
                                         const ModelMemory& memory,
                                         const TrainProgress& progress,
                                         const RunFacts& run) {
  ModelContents contents;
  contents.fields = learner.model().config().fields();
  for (const std::vector<NamedTensor>* list :
       {&learner.model().parameters(), &learner.model().buffers()}) {
    for (const NamedTensor& tensor : *list) {
      contents.tensors.push_back(ToTensorData(tensor.name, tensor.tensor));
    }
  }
  std::vector<TensorData> state;
  for (const NamedTensor& tensor : learner.State()) {
    state.push_back(ToTensorData(tensor.name, tensor.tensor));
  }
  for (size_t layer = 0; layer < memory.layers.size(); ++layer) {
    state.push_back(ToTensorData(MemoryName(layer), memory.layers[layer]));
  }
  SPANLM_ASSIGN_OR_RETURN(contents.extra_files[kTensorsFile],
                          SerializeSafetensors(state));
  contents.extra_files[kProgressFile] =
      ProgressJson(progress, learner.scaler().state(),
                   contents.extra_files[kTensorsFile], run);
  return contents;
}

absl::StatusOr<TrainProgress> RestoreTraining(
    const std::string& path, const RunFacts& run, Learner* learner,
    std::vector<std::string>* changes) {
  SPANLM_ASSIGN_OR_RETURN(const ModelDir dir, ModelDir::Open(path));
  ByteModel* const model = learner->mutable_model();
  SPANLM_RETURN_IF_ERROR(CheckSameModel(path, dir.config(), model->config()));
  const std::string json_path = absl::StrCat(path, "/", kProgressFile);
  SPANLM_ASSIGN_OR_RETURN(const nlohmann::json json,
                          ReadProgressJson(json_path));
  SPANLM_RETURN_IF_ERROR(CheckSame(json_path, json["fixed_options"], run));
  *changes = Changes(json["options"], run.options);
  SPANLM_ASSIGN_OR_RETURN(const Safetensors state, OpenTensors(path, json));
  SPANLM_RETURN_IF_ERROR(model->Load(dir));
  TrainProgress progress;
  progress.update = json["update"].get<int64_t>();
  progress.position.epoch = json["epoch"].get<int64_t>();
  progress.position.offset = json["offset"].get<int64_t>();
  progress.seconds = json["seconds"].get<double>();
  progress.best_loss = json["best_loss"].get<double>();
  progress.validated_update = json["validated_update"].get<int64_t>();
  progress.worse_validations = json["worse_validations"].get<int64_t>();
  progress.validation_pending = json["validation_pending"].get<bool>();
  learner->mutable_scaler()->Restore(
      {json["loss_scale"].get<double>(), json["loss_scale_step"].get<int64_t>(),
       json["loss_scale_overflow"].get<int64_t>()});
  SPANLM_RETURN_IF_ERROR(learner->Restore(state, progress.update));
  const BatchOptions& rows = run.rows;
  ModelMemory memory = JoinRows(*learner->memories());
  for (size_t layer = 0; layer < memory.layers.size(); ++layer) {
    const std::string name = MemoryName(layer);
    SPANLM_ASSIGN_OR_RETURN(
        const at::Tensor all,
        ReadTensor(state, name, memory.layers[layer].scalar_type()));
    if (all.dim() != 3 || all.size(0) != rows.rows ||
        all.size(2) != model->config()->d_model) {
      return absl::DataLossError(absl::StrCat(path, ": ", name, " is not [",
                                              rows.rows, ", …, ",
                                              model->config()->d_model, "]"));
    }
    memory.layers[layer] = all.narrow(0, rows.first_row, rows.row_count)
                               .to(memory.layers[layer].device());
  }
  *learner->memories() = SplitRows(memory, learner->parts());
  return progress;
}

absl::Status StartFromModel(const std::string& path, Learner* learner) {
  SPANLM_ASSIGN_OR_RETURN(const ModelDir dir, ModelDir::Open(path));
  SPANLM_RETURN_IF_ERROR(
      CheckSameModel(path, dir.config(), learner->model().config()));
  SPANLM_RETURN_IF_ERROR(learner->mutable_model()->Load(dir));
  learner->GiveParameters();
  return absl::OkStatus();
}

}  // namespace spanlm
