// SPDX-License-Identifier: Apache-2.0
// Every counter, gauge and histogram of the server, registered and named once.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/time/time.h"
#include "base/mutex.h"
#include "server/metrics/model_metrics.h"

namespace prometheus {
class Collectable;
}  // namespace prometheus

namespace spanlm {

// Counts calls of one RPC. Owned by Metrics. Thread-safe.
class RpcMetrics {
 public:
  struct Instruments;
  explicit RpcMetrics(std::unique_ptr<Instruments> instruments);
  ~RpcMetrics();

  void Started();
  // `code` is gRPC's number, 0 to 16; others count as 2 (UNKNOWN).
  void Handled(int code, absl::Duration time);
  void MessageReceived();
  void MessageSent();

 private:
  const std::unique_ptr<Instruments> instruments_;
};

struct BuildInfo {
  std::string version;
  std::string revision;
  std::string compiler;
  std::string device;
};

// What is fixed about a served model.
struct ModelFacts {
  std::string name;  // the label `model`
  std::string version;
  std::string digest;
  std::string architecture;
  std::string device;         // that holds it
  int64_t weights_bytes = 0;  // all weights
  int64_t state_bytes = 0;    // of one text
  int64_t slots_bytes = 0;    // of all slots for such states
  absl::Duration load_time;
  // [layer][head], bytes; exposed if not empty (--span-metrics).
  std::vector<std::vector<float>> attention_spans;
};

// Thread-safe. Must outlive those who use what it hands out.
class Metrics {
 public:
  explicit Metrics(const BuildInfo& build);
  ~Metrics();

  // `type` is "unary", "server_stream", "client_stream" or "bidi_stream",
  // `service` such as "spanlm.v1.ScoringService", `method` such as "Score".
  // Call it once for every method, at start.
  RpcMetrics* AddMethod(const std::string& type, const std::string& service,
                        const std::string& method);

  // A name may be added once. Its state becomes kReady.
  ModelMetrics* AddModel(const ModelFacts& facts);
  void SetModelState(const std::string& model, ModelState state);
  // A request that no model took: `model` is a model still loading or "other".
  // `kind` is an index of kKindLabels; `reason` as in kRejectionLabels, if the
  // outcome is kRejected.
  void CountUnserved(const std::string& model, int kind, Outcome outcome,
                     absl::string_view reason);
  // `gauges` is asked at every scrape, on the thread of the scrape.
  void SetGauges(const std::string& model, std::function<ModelGauges()> gauges);
  // After it the model's `gauges` is neither running nor called again.
  void RemoveGauges(const std::string& model);

  // All metrics, for an exposer; not to be used after the end of this.
  std::shared_ptr<prometheus::Collectable> collectable() const;
  // What a scrape would get.
  std::string Text() const;

 private:
  class Scrape;
  const std::shared_ptr<Scrape> scrape_;
  Mutex mutex_;
  std::vector<std::unique_ptr<RpcMetrics>> methods_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::unique_ptr<ModelMetrics>> models_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace spanlm
