// SPDX-License-Identifier: Apache-2.0
// The server: builds and owns all parts.
#pragma once

#include <grpcpp/resource_quota.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/metrics/exposer.h"
#include "server/metrics/metrics.h"
#include "server/model_host.h"
#include "server/rpc/admin_service.h"
#include "server/rpc/call_metrics.h"
#include "server/rpc/dataset_store.h"
#include "server/rpc/evaluation_service.h"
#include "server/rpc/generation_service.h"
#include "server/rpc/listener.h"
#include "server/rpc/model_registry.h"
#include "server/rpc/model_service.h"
#include "server/rpc/scoring_service.h"
#include "server/rpc/session_service.h"
#include "server/server_options.h"

namespace spanlm {

// A running server. Its methods: one thread at a time.
class Server {
 public:
  // Waits up to a duration; true: stop waiting, the end must come now.
  using Wait = std::function<bool(absl::Duration)>;

  // Binds all addresses with health NOT_SERVING, loads and checks the models,
  // then turns to SERVING. kInvalidArgument: bad options; kAlreadyExists: an
  // address in use; kUnavailable: the data set root cannot be read; else the
  // model's error, naming it.
  static absl::StatusOr<std::unique_ptr<Server>> Start(
      const ServerOptions& options, const EngineFactory& factory);
  // Ends at once what still runs.
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // Tells grpc.health.v1 how the models are: "" and "ready" SERVING while all
  // models serve and nothing drains, "live" while every model's thread goes
  // round within --step-deadline and no engine has failed, and each model's
  // name. Call it a few times a second.
  void RefreshHealth();

  // Whether a model's engine failed for good, so that only another process can
  // serve it again.
  bool HasFailed() const;

  // Ends well: NOT_SERVING for --drain-delay, then refuses requests and gives
  // the running ones --drain-timeout, then cancels the rest and closes. `wait`
  // is called for every pause, the first one the delay's. Call it once.
  void Drain(const Wait& wait);

  // The JSON line that says where it listens.
  std::string ServingLine() const;

  const std::string& address() const { return data_->address(); }
  const std::string& admin_address() const { return admin_->address(); }
  const std::string& health_address() const { return health_->address(); }
  const std::string& metrics_address() const { return exposer_->address(); }
  const Metrics& metrics() const { return metrics_; }

 private:
  explicit Server(const ServerOptions& options);

  absl::Status Listen();
  absl::Status LoadModels(const EngineFactory& factory);
  void SetHealth(const std::string& service, bool is_serving);
  // Waits for `time`; true: `wait` said stop.
  bool Pause(absl::Duration time, const Wait& wait);
  // Waits until no request is left, `timeout` has passed or `wait` says so.
  void WaitForRequests(absl::Duration timeout, const Wait& wait);

  const ServerOptions options_;
  Metrics metrics_;
  const CallMetrics call_metrics_;
  std::unique_ptr<DatasetStore> datasets_;
  ModelRegistry registry_;
  std::vector<std::unique_ptr<ModelHost>> models_;
  bool is_draining_ = false;
  bool is_live_ = true;  // as last told
  grpc::ResourceQuota quota_{"spanlm"};

  ScoringService scoring_;
  GenerationService generation_;
  SessionService sessions_;
  std::unique_ptr<EvaluationService> evaluation_;
  ModelService model_service_;
  AdminService admin_service_;

  std::unique_ptr<Listener> data_;
  std::unique_ptr<Listener> admin_;
  std::unique_ptr<Listener> health_;
  std::unique_ptr<Exposer> exposer_;
};

}  // namespace spanlm
