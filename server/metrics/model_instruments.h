// SPDX-License-Identifier: Apache-2.0
// The prometheus-cpp side of ModelMetrics.
#pragma once

#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <array>
#include <map>
#include <string>

#include "absl/base/thread_annotations.h"
#include "base/mutex.h"
#include "server/metrics/model_metrics.h"

namespace spanlm {

template <typename Metric, size_t kCount>
using Children = std::array<Metric*, kCount>;

// How requests to a model ended. Another set of the same model counts on where
// the first one does. The counters belong to the registry. Thread-safe.
struct RequestCounters {
  RequestCounters(prometheus::Registry* registry, const std::string& model);

  void CountRequest(int kind, Outcome outcome) const;
  void CountRejection(absl::string_view reason) const;

  std::array<Children<prometheus::Counter, kOutcomeLabels.size()>,
             kKindLabels.size()>
      requests;
  Children<prometheus::Counter, kRejectionLabels.size()> rejections;
};

// All children exist from the start; they belong to the registry. Thread-safe.
struct ModelMetrics::Instruments {
  using Counter = prometheus::Counter;
  using Gauge = prometheus::Gauge;
  using Histogram = prometheus::Histogram;

  Instruments(prometheus::Registry* registry, const std::string& model);

  const std::string model;
  const RequestCounters requests;
  Children<Histogram, kKindLabels.size()> queue_seconds;
  Histogram* first_byte_seconds;
  Histogram* inter_byte_seconds;
  Children<Counter, kKindLabels.size()> read_bytes;
  Children<Counter, kKindLabels.size()> scored_bytes;
  Children<Counter, kKindLabels.size()> generated_bytes;
  Histogram* request_bytes_in;
  Histogram* request_bytes_out;
  Children<Counter, kFinishLabels.size()> finishes;
  Children<Histogram, kPhaseLabels.size()> step_seconds;
  Histogram* step_sequences;
  Histogram* step_bytes;
  Counter* nans;

  prometheus::Family<Gauge>& evaluation_progress;
  prometheus::Family<Gauge>& evaluation_bits;
  Mutex mutex;
  std::map<std::string, int> evaluations ABSL_GUARDED_BY(mutex);  // by data set
};

}  // namespace spanlm
