// SPDX-License-Identifier: Apache-2.0
#include "train/train_metrics.h"

#include <prometheus/counter.h>
#include <prometheus/exposer.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "engine/runtime/torch_guard.h"

namespace spanlm {
namespace {

prometheus::Gauge& Gauge(prometheus::Registry* registry, const char* name,
                         const char* help,
                         const prometheus::Labels& labels = {}) {
  return prometheus::BuildGauge()
      .Name(absl::StrCat("spanlm_train_", name))
      .Help(help)
      .Register(*registry)
      .Add(labels);
}

prometheus::Counter& Counter(prometheus::Registry* registry, const char* name,
                             const char* help) {
  return prometheus::BuildCounter()
      .Name(absl::StrCat("spanlm_train_", name))
      .Help(help)
      .Register(*registry)
      .Add({});
}

// From a millisecond to two minutes.
prometheus::Histogram::BucketBoundaries StepBuckets() {
  prometheus::Histogram::BucketBoundaries buckets;
  for (double bound = 1e-3; bound < 200; bound *= 2) buckets.push_back(bound);
  return buckets;
}

}  // namespace

struct TrainMetrics::Instruments {
  std::shared_ptr<prometheus::Registry> registry =
      std::make_shared<prometheus::Registry>();
  prometheus::Gauge& step =
      Gauge(registry.get(), "step", "Updates done, earlier runs included.");
  prometheus::Gauge& train_bits =
      Gauge(registry.get(), "bits_per_byte",
            "Of the last update or validation, per scored symbol.",
            {{"split", "train"}});
  prometheus::Gauge& valid_bits =
      Gauge(registry.get(), "bits_per_byte",
            "Of the last update or validation, per scored symbol.",
            {{"split", "valid"}});
  prometheus::Counter& bytes =
      Counter(registry.get(), "bytes_total",
              "Symbols read by updates, skipped ones too, of all processes.");
  prometheus::Counter& overflows =
      Counter(registry.get(), "overflows_total",
              "Updates skipped because gradients were not finite (fp16).");
  prometheus::Histogram& step_seconds =
      prometheus::BuildHistogram()
          .Name("spanlm_train_step_seconds")
          .Help("Time of an update, skipped ones too.")
          .Register(*registry)
          .Add({}, StepBuckets());
  prometheus::Gauge& gradient_norm =
      Gauge(registry.get(), "grad_norm", "Of the last update, before clips.");
  prometheus::Gauge& learning_rate =
      Gauge(registry.get(), "learning_rate", "Of the next update.");
  prometheus::Gauge& loss_scale =
      Gauge(registry.get(), "loss_scale", "Of the next update (fp16).");
  prometheus::Gauge& mean_span =
      Gauge(registry.get(), "mean_span_bytes",
            "Mean span of all heads, ramp included; 0 for Transformer-XL.");
  prometheus::Gauge& checkpoint =
      Gauge(registry.get(), "checkpoint_timestamp_seconds",
            "When checkpoint_last was last written.");
  // Last, so that it stops first.
  std::unique_ptr<prometheus::Exposer> exposer;
};

TrainMetrics::TrainMetrics(std::unique_ptr<Instruments> instruments,
                           std::string address)
    : instruments_(std::move(instruments)), address_(std::move(address)) {}

TrainMetrics::~TrainMetrics() = default;

absl::StatusOr<std::unique_ptr<TrainMetrics>> TrainMetrics::Listen(
    const std::string& address) {
  const size_t colon = address.rfind(':');
  if (colon == std::string::npos) {
    return absl::InvalidArgumentError(
        absl::StrCat("--metrics-listen ", address, ": want HOST:PORT"));
  }
  auto instruments = std::make_unique<Instruments>();
  std::string bound;
  // The library throws where it cannot listen.
  const absl::Status status =
      GuardTorch(absl::StrCat("--metrics-listen ", address), [&] {
        instruments->exposer =
            std::make_unique<prometheus::Exposer>(address, 1);
        instruments->exposer->RegisterCollectable(instruments->registry);
        bound = absl::StrCat(address.substr(0, colon + 1),
                             instruments->exposer->GetListeningPorts().front());
        return absl::OkStatus();
      });
  if (!status.ok()) return absl::UnavailableError(status.message());
  return std::unique_ptr<TrainMetrics>(
      new TrainMetrics(std::move(instruments), std::move(bound)));
}

void TrainMetrics::CountUpdate(const UpdateReport& report,
                               absl::Duration duration) {
  instruments_->step_seconds.Observe(absl::ToDoubleSeconds(duration));
  instruments_->bytes.Increment(static_cast<double>(report.positions));
  if (report.overflowed) {
    instruments_->overflows.Increment();
    return;
  }
  instruments_->train_bits.Set(report.nats / M_LN2 /
                               static_cast<double>(report.scored));
  instruments_->gradient_norm.Set(report.step.gradient_norm);
}

void TrainMetrics::SetState(int64_t update, double lr, double loss_scale,
                            double mean_span) {
  instruments_->step.Set(static_cast<double>(update));
  instruments_->learning_rate.Set(lr);
  instruments_->loss_scale.Set(loss_scale);
  instruments_->mean_span.Set(mean_span);
}

void TrainMetrics::SetValidation(double bits_per_symbol) {
  instruments_->valid_bits.Set(bits_per_symbol);
}

void TrainMetrics::CountCheckpoint(absl::Time time) {
  instruments_->checkpoint.Set(absl::ToDoubleSeconds(time - absl::UnixEpoch()));
}

}  // namespace spanlm
