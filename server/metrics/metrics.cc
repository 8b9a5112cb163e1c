// SPDX-License-Identifier: Apache-2.0
#include "server/metrics/metrics.h"

#include <prometheus/collectable.h>
#include <prometheus/gauge.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <map>
#include <utility>

#include "server/metrics/model_gauges.h"
#include "server/metrics/model_instruments.h"
#include "server/metrics/process_metrics.h"
#include "server/metrics/rpc_instruments.h"

namespace spanlm {
namespace {

prometheus::Gauge& AddFixedGauge(prometheus::Registry* registry,
                                 const char* name, const char* help,
                                 const prometheus::Labels& labels) {
  return prometheus::BuildGauge().Name(name).Help(help).Register(*registry).Add(
      labels);
}

}  // namespace

// What the registry counts plus what is computed now. Thread-safe.
class Metrics::Scrape : public prometheus::Collectable {
 public:
  std::vector<prometheus::MetricFamily> Collect() const override {
    std::vector<prometheus::MetricFamily> families = registry.Collect();
    for (prometheus::MetricFamily& family : ModelGaugeFamilies(ReadGauges())) {
      families.push_back(std::move(family));
    }
    for (prometheus::MetricFamily& family : CollectProcessMetrics()) {
      families.push_back(std::move(family));
    }
    return families;
  }

  void SetSource(const std::string& model,
                 std::function<ModelGauges()> gauges) {
    MutexLock lock(&mutex_);
    sources_[model] = std::move(gauges);
  }

  void RemoveSource(const std::string& model) {
    MutexLock lock(&mutex_);
    sources_.erase(model);
    while (reader_count_ > 0) no_reader_.Wait(&mutex_);
  }

  prometheus::Registry registry;

 private:
  // Asks the sources without the lock, because each has one of its own.
  std::map<std::string, ModelGauges> ReadGauges() const {
    std::map<std::string, std::function<ModelGauges()>> sources;
    {
      MutexLock lock(&mutex_);
      sources = sources_;
      ++reader_count_;
    }
    std::map<std::string, ModelGauges> gauges;
    for (const auto& [model, source] : sources) gauges[model] = source();
    MutexLock lock(&mutex_);
    if (--reader_count_ == 0) no_reader_.NotifyAll();
    return gauges;
  }

  mutable Mutex mutex_;
  mutable CondVar no_reader_;
  mutable int reader_count_ ABSL_GUARDED_BY(mutex_) = 0;
  std::map<std::string, std::function<ModelGauges()>> sources_
      ABSL_GUARDED_BY(mutex_);
};

Metrics::Metrics(const BuildInfo& build) : scrape_(std::make_shared<Scrape>()) {
  AddFixedGauge(&scrape_->registry, "spanlm_build_info",
                "What this program is; always 1.",
                {{"version", build.version},
                 {"revision", build.revision},
                 {"compiler", build.compiler},
                 {"device", build.device}})
      .Set(1);
  const RequestCounters others_from_the_start(&scrape_->registry, "other");
}

Metrics::~Metrics() = default;

void Metrics::SetModelState(const std::string& model, ModelState state) {
  for (size_t i = 0; i < kModelStateLabels.size(); ++i) {
    AddFixedGauge(&scrape_->registry, "spanlm_model_state",
                  "1 for the state that a model is in.",
                  {{"model", model}, {"state", kModelStateLabels[i]}})
        .Set(i == static_cast<size_t>(state) ? 1 : 0);
  }
}

void Metrics::CountUnserved(const std::string& model, int kind, Outcome outcome,
                            absl::string_view reason) {
  const RequestCounters counters(&scrape_->registry, model);
  counters.CountRequest(kind, outcome);
  if (outcome == Outcome::kRejected) counters.CountRejection(reason);
}

RpcMetrics* Metrics::AddMethod(const std::string& type,
                               const std::string& service,
                               const std::string& method) {
  const prometheus::Labels labels = {
      {"grpc_type", type}, {"grpc_service", service}, {"grpc_method", method}};
  auto metrics = std::make_unique<RpcMetrics>(
      std::make_unique<RpcMetrics::Instruments>(&scrape_->registry, labels));
  MutexLock lock(&mutex_);
  methods_.push_back(std::move(metrics));
  return methods_.back().get();
}

ModelMetrics* Metrics::AddModel(const ModelFacts& facts) {
  prometheus::Registry* const registry = &scrape_->registry;
  const prometheus::Labels labels = {{"model", facts.name}};
  AddFixedGauge(registry, "spanlm_model_info",
                "What a served model is; always 1.",
                {{"model", facts.name},
                 {"version", facts.version},
                 {"digest", facts.digest},
                 {"architecture", facts.architecture}})
      .Set(1);
  AddFixedGauge(registry, "spanlm_session_state_bytes",
                "Size of a text's state, whatever its length.", labels)
      .Set(static_cast<double>(facts.state_bytes));
  for (const auto& [kind, bytes] :
       {std::pair<const char*, int64_t>{"weights", facts.weights_bytes},
        {"state", facts.slots_bytes}}) {
    AddFixedGauge(registry, "spanlm_device_memory_bytes",
                  "Memory taken by models, by device and use.",
                  {{"device", facts.device}, {"kind", kind}})
        .Increment(static_cast<double>(bytes));
  }
  SetModelState(facts.name, ModelState::kReady);
  AddFixedGauge(registry, "spanlm_model_load_seconds",
                "Time that loading the model took.", labels)
      .Set(absl::ToDoubleSeconds(facts.load_time));
  for (size_t layer = 0; layer < facts.attention_spans.size(); ++layer) {
    for (size_t head = 0; head < facts.attention_spans[layer].size(); ++head) {
      AddFixedGauge(registry, "spanlm_attention_span_bytes",
                    "Learned attention span of a head.",
                    {{"model", facts.name},
                     {"layer", std::to_string(layer)},
                     {"head", std::to_string(head)}})
          .Set(static_cast<double>(facts.attention_spans[layer][head]));
    }
  }
  auto metrics = std::make_unique<ModelMetrics>(
      std::make_unique<ModelMetrics::Instruments>(registry, facts.name));
  MutexLock lock(&mutex_);
  models_.push_back(std::move(metrics));
  return models_.back().get();
}

void Metrics::SetGauges(const std::string& model,
                        std::function<ModelGauges()> gauges) {
  scrape_->SetSource(model, std::move(gauges));
}

void Metrics::RemoveGauges(const std::string& model) {
  scrape_->RemoveSource(model);
}

std::shared_ptr<prometheus::Collectable> Metrics::collectable() const {
  return scrape_;
}

std::string Metrics::Text() const {
  return prometheus::TextSerializer().Serialize(scrape_->Collect());
}

}  // namespace spanlm
