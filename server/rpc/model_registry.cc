// SPDX-License-Identifier: Apache-2.0
#include "server/rpc/model_registry.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "server/jobs/reason.h"
#include "server/rpc/status.h"

namespace spanlm {
namespace {

std::string ResourceName(absl::string_view name) {
  return absl::StrCat("models/", name);
}

}  // namespace

v1::Model DescribeModel(const std::string& name, const Engine& engine,
                        bool is_default) {
  const ModelFields& fields = engine.config().fields();
  const EngineInfo& info = engine.info();
  v1::Model model;
  model.set_name(ResourceName(name));
  model.set_version(absl::StrCat(ResourceName(name), "/versions/1"));
  model.set_digest(info.digest);
  model.set_numerics(info.numerics);
  model.set_architecture(std::string(Name(fields.architecture)));
  model.set_family(std::string(Name(fields.family)));
  model.set_state(v1::Model::STATE_READY);
  model.set_is_default(is_default);
  model.set_parameter_count(info.parameter_count);
  model.set_layer_count(fields.n_layer);
  model.set_head_count(fields.n_head);
  model.set_model_width(fields.d_model);
  model.set_symbol_count(fields.vocab_size);
  model.set_session_state_bytes(info.state_bytes);
  model.set_session_capacity(info.slot_count);
  model.set_receptive_field_bytes(info.receptive_field_bytes);
  for (size_t layer = 0; layer < info.layer_windows.size(); ++layer) {
    v1::LayerSpans* spans = model.add_layers();
    spans->set_window_bytes(info.layer_windows[layer]);
    if (layer < info.spans.size()) {
      spans->mutable_spans()->Add(info.spans[layer].begin(),
                                  info.spans[layer].end());
    }
    if (layer < info.reaches.size()) {
      spans->mutable_reaches()->Add(info.reaches[layer].begin(),
                                    info.reaches[layer].end());
    }
  }
  model.set_weights_format(engine.options().weights);
  model.set_cache_format(engine.options().kv);
  model.set_device(engine.options().device);
  return model;
}

ModelRegistry::ModelRegistry(const std::vector<std::string>& names,
                             const std::string& default_name, Metrics* metrics)
    : default_name_(default_name), metrics_(metrics) {
  for (const std::string& name : names) models_[name] = nullptr;
}

void ModelRegistry::Add(const std::string& name, ServedModel model) {
  MutexLock lock(&mutex_);
  models_[name] = std::make_unique<const ServedModel>(std::move(model));
}

std::string ModelRegistry::Wanted(absl::string_view name) const {
  absl::ConsumePrefix(&name, "models/");
  return name.empty() ? default_name_ : std::string(name);
}

absl::StatusOr<const ServedModel*> ModelRegistry::FindFor(
    JobKind kind, absl::string_view name) const {
  absl::StatusOr<const ServedModel*> model = Find(name);
  if (model.ok()) return model;
  const bool is_loading = absl::IsUnavailable(model.status());
  metrics_->CountUnserved(is_loading ? Wanted(name) : "other",
                          static_cast<int>(kind),
                          is_loading ? Outcome::kRejected : Outcome::kInvalid,
                          ReasonOf(model.status()));
  return model;
}

absl::StatusOr<const ServedModel*> ModelRegistry::Find(
    absl::string_view name) const {
  const std::string wanted = Wanted(name);
  MutexLock lock(&mutex_);
  const auto found = models_.find(wanted);
  if (found == models_.end()) {
    return WithReason(
        absl::NotFoundError(absl::StrCat("model: no model ", Quoted(wanted))),
        kReasonModel);
  }
  if (found->second == nullptr) {
    return WithReason(
        absl::UnavailableError(absl::StrCat("model: ", wanted, " is loading")),
        kReasonLoading);
  }
  return found->second.get();
}

std::vector<v1::Model> ModelRegistry::List() const {
  std::vector<v1::Model> models;
  MutexLock lock(&mutex_);
  for (const auto& [name, model] : models_) {
    if (model != nullptr) {
      models.push_back(model->description);
      continue;
    }
    v1::Model& loading = models.emplace_back();
    loading.set_name(ResourceName(name));
    loading.set_is_default(name == default_name_);
    loading.set_state(v1::Model::STATE_LOADING);
  }
  return models;
}

}  // namespace spanlm
