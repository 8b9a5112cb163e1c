// SPDX-License-Identifier: Apache-2.0
#include "server/server.h"

#include <grpc/grpc.h>

#include <algorithm>
#include <future>
#include <mutex>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/log.h"
#include "base/status_macros.h"

#ifndef SPANLM_VERSION
#error "define SPANLM_VERSION"
#endif
#ifndef SPANLM_REVISION
#error "define SPANLM_REVISION"
#endif

namespace spanlm {
namespace {

constexpr char kReady[] = "ready";
constexpr char kLive[] = "live";
constexpr absl::Duration kPoll = absl::Milliseconds(50);
constexpr absl::Duration kHealthInterval = absl::Milliseconds(500);
// For calls that the schedulers have ended to send their statuses.
constexpr absl::Duration kLastWords = absl::Seconds(1);

std::vector<std::string> NamesOf(const ServerOptions& options) {
  std::vector<std::string> names;
  for (const ModelSpec& spec : options.models) names.push_back(spec.name);
  return names;
}

std::string DefaultOf(const ServerOptions& options) {
  if (!options.default_model.empty() || options.models.empty()) {
    return options.default_model;
  }
  return options.models.front().name;
}

}  // namespace

Server::Server(const ServerOptions& options)
    : options_(options),
      metrics_({SPANLM_VERSION, SPANLM_REVISION, __VERSION__,
                options.engine.device}),
      call_metrics_(&metrics_),
      registry_(NamesOf(options), DefaultOf(options), &metrics_),
      scoring_(&registry_, options.limits),
      generation_(&registry_, options.limits),
      model_service_(&registry_) {
  quota_.Resize(static_cast<size_t>(options.limits.max_rpc_bytes));
  for (const std::string& name : NamesOf(options)) {
    metrics_.SetModelState(name, ModelState::kLoading);
  }
}

Server::~Server() {
  for (Listener* listener : {data_.get(), admin_.get(), health_.get()}) {
    if (listener == nullptr) continue;
    listener->server()->Shutdown(std::chrono::system_clock::now());
  }
  // The listeners go first, as members below the models: when they are gone no
  // call is left that could hold on to a scheduler.
}

absl::StatusOr<std::unique_ptr<Server>> Server::Start(
    const ServerOptions& options, const EngineFactory& factory) {
  static std::once_flag once;
  std::call_once(once, Listener::PrepareProcess);
  SPANLM_RETURN_IF_ERROR(Check(options));
  std::unique_ptr<Server> server(new Server(options));
  absl::StatusOr<std::unique_ptr<DatasetStore>> datasets =
      DatasetStore::Create(options.dataset_root);
  if (!datasets.ok()) {
    return absl::UnavailableError(datasets.status().message());
  }
  server->datasets_ = *std::move(datasets);
  server->evaluation_ = std::make_unique<EvaluationService>(
      &server->registry_, options.limits, server->datasets_.get());
  SPANLM_RETURN_IF_ERROR(server->Listen());
  server->datasets_->DigestSmallFiles();
  SPANLM_RETURN_IF_ERROR(server->LoadModels(factory));
  server->RefreshHealth();
  return server;
}

absl::Status Server::Listen() {
  ListenerOptions data;
  data.address = options_.listen;
  data.limits = options_.limits;
  data.quota = &quota_;
  data.has_health = true;
  data.has_reflection = true;
  data.services = {&scoring_, &generation_, &sessions_, evaluation_.get(),
                   &model_service_};
  data.new_interceptors = [this] { return call_metrics_.NewInterceptors(); };
  SPANLM_ASSIGN_OR_RETURN(data_, Listener::Start(data));

  ListenerOptions admin;
  admin.address = options_.admin_listen;
  admin.limits = options_.limits;
  admin.quota = &quota_;
  admin.has_channelz = true;
  admin.services = {&admin_service_};
  admin.new_interceptors = data.new_interceptors;
  SPANLM_ASSIGN_OR_RETURN(admin_, Listener::Start(admin));

  ListenerOptions health;
  health.address = options_.health_listen;
  health.limits = options_.limits;
  health.quota = &quota_;
  health.has_health = true;
  SPANLM_ASSIGN_OR_RETURN(health_, Listener::Start(health));
  SetHealth("", false);
  SetHealth(kReady, false);
  SetHealth(kLive, true);
  for (const ModelSpec& spec : options_.models) SetHealth(spec.name, false);
  SPANLM_ASSIGN_OR_RETURN(exposer_,
                          Exposer::Start(options_.metrics_listen, metrics_));
  return absl::OkStatus();
}

absl::Status Server::LoadModels(const EngineFactory& factory) {
  EngineOptions engine = options_.engine;
  engine.max_step_symbols = options_.max_step_bytes;
  engine.state_budget_bytes /= static_cast<int64_t>(options_.models.size());
  SchedulerOptions scheduler;
  scheduler.policy.max_step_symbols = options_.max_step_bytes;
  scheduler.max_queue_requests = options_.max_queue_requests;
  scheduler.max_queue_bytes = options_.max_queue_bytes;
  scheduler.stall_limit = options_.stall_limit;
  for (const ModelSpec& spec : options_.models) {
    absl::StatusOr<std::unique_ptr<ModelHost>> host = ModelHost::Load(
        spec, engine, scheduler, factory, options_.span_metrics, &metrics_);
    if (!host.ok()) {
      return absl::Status(
          host.status().code(),
          absl::StrCat("model ", spec.name, ": ", host.status().message()));
    }
    registry_.Add(spec.name, (*host)->Serve(spec.name == DefaultOf(options_)));
    models_.push_back(*std::move(host));
  }
  return absl::OkStatus();
}

void Server::SetHealth(const std::string& service, bool is_serving) {
  data_->SetServing(service, is_serving);
  health_->SetServing(service, is_serving);
}

void Server::RefreshHealth() {
  bool is_live = true;
  for (const std::unique_ptr<ModelHost>& model : models_) {
    const absl::Duration age = model->scheduler()->RoundAge();
    const bool is_late = age > options_.step_deadline;
    if (is_late && is_live_) {
      Log(LogLevel::kError, "step_overdue",
          {{"model", model->name()}, {"seconds", absl::ToDoubleSeconds(age)}});
    }
    const bool is_well = !is_late && !model->scheduler()->HasFailed();
    is_live = is_live && is_well;
    SetHealth(model->name(), is_well && !is_draining_);
  }
  is_live_ = is_live;
  const bool is_ready = is_live && !is_draining_;
  SetHealth(kLive, is_live);
  SetHealth(kReady, is_ready);
  SetHealth("", is_ready);
}

bool Server::HasFailed() const {
  return std::any_of(models_.begin(), models_.end(), [](const auto& model) {
    return model->scheduler()->HasFailed();
  });
}

bool Server::Pause(absl::Duration time, const Wait& wait) {
  const absl::Time end = absl::Now() + time;
  absl::Duration left = time;
  do {
    RefreshHealth();
    if (wait(std::min(left, kHealthInterval))) return true;
    left = end - absl::Now();
  } while (left > absl::ZeroDuration());
  return false;
}

void Server::WaitForRequests(absl::Duration timeout, const Wait& wait) {
  const absl::Time end = absl::Now() + timeout;
  for (const std::unique_ptr<ModelHost>& model : models_) {
    while (!model->scheduler()->WaitUntilIdle(absl::ZeroDuration())) {
      const absl::Duration left = end - absl::Now();
      if (left <= absl::ZeroDuration()) return;
      if (Pause(std::min(left, kPoll), wait)) return;
    }
  }
}

void Server::Drain(const Wait& wait) {
  Log(LogLevel::kInfo, "draining");
  is_draining_ = true;
  const bool is_now = Pause(options_.drain_delay, wait);
  const absl::Duration timeout =
      is_now ? absl::ZeroDuration() : options_.drain_timeout;
  // The listener stays: who calls now has to hear why not.
  for (const auto& model : models_) model->scheduler()->Drain();
  WaitForRequests(timeout, wait);
  for (const auto& model : models_) model->scheduler()->CancelAll();
  for (const auto& model : models_) {
    model->scheduler()->WaitUntilIdle(kLastWords);
  }
  // Shutdown returns when the last call has ended, and the last messages and
  // statuses are still on their way. What is left after a while waits for its
  // client: a reader too slow, a stream that was never opened, a watch of
  // health.
  const std::future<void> shutdown =
      std::async(std::launch::async, [this] { data_->server()->Shutdown(); });
  if (shutdown.wait_for(absl::ToChronoNanoseconds(kLastWords)) ==
      std::future_status::timeout) {
    grpc_server_cancel_all_calls(data_->server()->c_server());
  }
  shutdown.wait();
  Log(LogLevel::kInfo, "drained");
}

std::string Server::ServingLine() const {
  nlohmann::ordered_json line;
  line["event"] = "serving";
  line["listen"] = address();
  line["admin"] = admin_address();
  line["health"] = health_address();
  line["metrics"] = metrics_address();
  line["models"] = NamesOf(options_);
  return line.dump();
}

}  // namespace spanlm
