// SPDX-License-Identifier: Apache-2.0
// Every counter, gauge and histogram of the server, registered and named once.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
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
  int64_t state_bytes = 0;
  // [layer][head], bytes; exposed if not empty (--span-metrics).
  std::vector<std::vector<float>> attention_spans;
};

// Thread-safe. Outlives what it hands out to.
class Metrics {
 public:
  explicit Metrics(const BuildInfo& build);
  ~Metrics();

  // "unary", "server_stream", "client_stream" or "bidi_stream"; a service such
  // as "spanlm.v1.ScoringService"; a method such as "Score". Call it for every
  // method at start; the same method gives the same object.
  RpcMetrics* AddMethod(const std::string& type, const std::string& service,
                        const std::string& method);

  // `gauges` is asked at every scrape, on the exposer's thread, until
  // RemoveGauges or the end. A name may be added once.
  ModelMetrics* AddModel(const ModelFacts& facts);
  void SetGauges(const std::string& model, std::function<ModelGauges()> gauges);
  // After it `gauges` is neither running nor called again.
  void RemoveGauges(const std::string& model);

  // Reads everything; lent until the end.
  std::shared_ptr<prometheus::Collectable> collectable() const;
  // What a scrape would get.
  std::string Text() const;

 private:
  struct Families;
  const std::unique_ptr<Families> families_;
};

}  // namespace spanlm
