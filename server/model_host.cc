// SPDX-License-Identifier: Apache-2.0
#include "server/model_host.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/log.h"
#include "base/status_macros.h"

namespace spanlm {
namespace {

constexpr size_t kCheckSymbols = 64;

// ln P of `symbols`, read in chunks of `chunk_size`.
absl::StatusOr<std::vector<float>> ScoreInChunks(
    absl::Span<const uint16_t> symbols, size_t chunk_size, Engine* engine) {
  SPANLM_ASSIGN_OR_RETURN(SpanCache cache, engine->NewCache());
  std::vector<float> log_probs;
  for (size_t at = 0; at < symbols.size(); at += chunk_size) {
    SPANLM_ASSIGN_OR_RETURN(
        const StepResult result,
        engine->Step(
            {{&cache, symbols.subspan(at, chunk_size), Want::kTargets}}));
    log_probs.insert(log_probs.end(), result[0].log_probs.begin(),
                     result[0].log_probs.end());
  }
  return log_probs;
}

int64_t BytesOf(absl::string_view format) {
  return format == "int8" ? 1 : format == "bf16" ? 2 : 4;
}

ModelFacts FactsOf(const std::string& name, const Engine& engine) {
  const EngineInfo& info = engine.info();
  ModelFacts facts;
  facts.name = name;
  facts.version = "1";
  facts.digest = info.digest;
  facts.architecture = std::string(Name(engine.config()->architecture));
  facts.device = engine.options().device;
  facts.weights_bytes =
      info.parameter_count * BytesOf(engine.options().weights);
  facts.state_bytes = info.state_bytes;
  facts.slots_bytes = info.state_bytes * info.slot_count;
  return facts;
}

}  // namespace

absl::Status CheckEngine(Engine* engine) {
  const auto step_size =
      static_cast<size_t>(engine->options().max_step_symbols);
  std::vector<uint16_t> symbols(std::max(kCheckSymbols, step_size));
  for (size_t i = 0; i < symbols.size(); ++i) {
    symbols[i] = static_cast<uint16_t>(
        i * 37 % static_cast<size_t>(engine->config()->vocab_size));
  }
  const absl::Span<const uint16_t> text =
      absl::MakeConstSpan(symbols).first(kCheckSymbols);
  SPANLM_ASSIGN_OR_RETURN(
      const std::vector<float> whole,
      ScoreInChunks(text, std::min(kCheckSymbols, step_size), engine));
  SPANLM_ASSIGN_OR_RETURN(const std::vector<float> bytewise,
                          ScoreInChunks(text, 1, engine));
  for (size_t i = 0; i < whole.size(); ++i) {
    if (std::isfinite(whole[i]) && whole[i] == bytewise[i]) continue;
    return absl::InternalError(absl::StrCat(
        "self-check: symbol ", i, " scores ", whole[i], " in one chunk and ",
        bytewise[i], " alone; want equal, finite numbers"));
  }
  return ScoreInChunks(symbols, step_size, engine).status();
}

absl::StatusOr<std::unique_ptr<ModelHost>> ModelHost::Load(
    const ModelSpec& spec, const EngineOptions& engine_options,
    const SchedulerOptions& scheduler_options, const EngineFactory& factory,
    bool span_metrics, Metrics* metrics) {
  const absl::Time start = absl::Now();
  SPANLM_ASSIGN_OR_RETURN(std::unique_ptr<Engine> engine,
                          factory(spec.dir, engine_options));
  SPANLM_ASSIGN_OR_RETURN(SymbolMap symbols,
                          SymbolMap::Create(engine->config()));
  SPANLM_RETURN_IF_ERROR(CheckEngine(engine.get()));
  const absl::Duration load_time = absl::Now() - start;

  const EngineInfo& info = engine->info();
  ModelFacts facts = FactsOf(spec.name, *engine);
  facts.load_time = load_time;
  if (span_metrics) facts.attention_spans = info.spans;
  std::unique_ptr<ModelHost> host(
      new ModelHost(spec.name, std::move(engine), std::move(symbols), metrics));
  host->model_metrics_ = metrics->AddModel(facts);
  SchedulerOptions named = scheduler_options;
  named.model = spec.name;
  host->scheduler_ = std::make_unique<Scheduler>(named, host->engine_.get(),
                                                 host->model_metrics_);
  metrics->SetGauges(spec.name, [scheduler = host->scheduler_.get()] {
    return scheduler->Gauges();
  });
  Log(LogLevel::kInfo, "model_loaded",
      {{"model", spec.name},
       {"digest", info.digest},
       {"numerics", info.numerics},
       {"slots", info.slot_count},
       {"seconds", absl::ToDoubleSeconds(load_time)}});
  return host;
}

ModelHost::ModelHost(std::string name, std::unique_ptr<Engine> engine,
                     SymbolMap symbols, Metrics* metrics)
    : name_(std::move(name)),
      engine_(std::move(engine)),
      symbols_(std::move(symbols)),
      metrics_(metrics) {}

ModelHost::~ModelHost() { metrics_->RemoveGauges(name_); }

ServedModel ModelHost::Serve(bool is_default) const {
  ServedModel served;
  served.description = DescribeModel(name_, *engine_, is_default);
  served.symbols = &symbols_;
  served.scheduler = scheduler_.get();
  served.metrics = model_metrics_;
  return served;
}

}  // namespace spanlm
