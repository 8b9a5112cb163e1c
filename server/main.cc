// SPDX-License-Identifier: Apache-2.0
// spanlm-server: flags to ServerOptions, signals, exit codes.
#include <signal.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <cmath>
#include <ctime>
#include <filesystem>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/command_line.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "engine/engine.h"
#include "server/server.h"
#include "server/server_options.h"

namespace spanlm {
namespace {

constexpr int kExitUsage = 64;
constexpr int kExitBadModel = 65;
constexpr int kExitAddressInUse = 69;
constexpr int kExitEngine = 70;
constexpr int kExitIo = 74;
constexpr absl::Duration kHealthInterval = absl::Milliseconds(500);

// The flags as typed, before they are a ServerOptions.
struct Flags {
  ServerOptions options;
  std::vector<std::string> models;
  std::string model_root;
  int64_t session_budget_mib = 1024;
  int64_t max_queue_mib = 256;
  int64_t max_rpc_mib = 256;
  double drain_delay_seconds = 5;
  double drain_timeout_seconds = 25;
  double step_deadline_seconds = 60;
  double stall_limit_seconds = 600;
  double max_connection_age_seconds = 1800;
  std::string log_level = "info";
  bool check_config = false;
};

void AddModelFlags(CLI::App* app, Flags* flags) {
  app->add_option("--model", flags->models,
                  "NAME=DIR of a model to serve, or DIR; repeatable")
      ->type_name("NAME=DIR");
  app->add_option("--model-root", flags->model_root,
                  "Folder that relative DIRs are below; without --model, every "
                  "model directly below it is served");
  app->add_option("--default-model", flags->options.default_model,
                  "Model of calls that name none (default: the first)");
  app->add_option("--dataset-root", flags->options.dataset_root,
                  "Folder whose files may be evaluated");
}

void AddListenFlags(CLI::App* app, Flags* flags) {
  ServerOptions* options = &flags->options;
  app->add_option("--listen", options->listen, "Data address, HOST:PORT")
      ->capture_default_str();
  app->add_option("--admin-listen", options->admin_listen,
                  "Address of admin and channelz")
      ->capture_default_str();
  app->add_option("--health-listen", options->health_listen,
                  "Address of grpc.health.v1 alone")
      ->capture_default_str();
  app->add_option("--metrics-listen", options->metrics_listen,
                  "Address of /metrics over HTTP")
      ->capture_default_str();
  app->add_flag("--insecure", options->insecure,
                "Allow plaintext data and admin beyond loopback");
}

void AddEngineFlags(CLI::App* app, Flags* flags) {
  EngineOptions* engine = &flags->options.engine;
  app->add_option("--device", engine->device, "cpu, cuda or cuda:N")
      ->capture_default_str();
  app->add_option("--threads", engine->threads,
                  "CPU workers of each model; 0: one a core")
      ->capture_default_str();
  app->add_option("--weights", engine->weights, "fp32, bf16 or int8")
      ->capture_default_str();
  app->add_option("--kv", engine->kv, "fp32, bf16 or int8")
      ->capture_default_str();
  app->add_option("--session-budget-mib", flags->session_budget_mib,
                  "Memory for texts' states, all models together")
      ->capture_default_str();
  app->add_option("--max-step-bytes", flags->options.max_step_bytes,
                  "Most bytes of one step, all calls together")
      ->capture_default_str();
}

void AddLimitFlags(CLI::App* app, Flags* flags) {
  ServerOptions* options = &flags->options;
  app->add_option("--max-queue-requests", options->max_queue_requests,
                  "Most waiting requests of a model")
      ->capture_default_str();
  app->add_option("--max-queue-mib", flags->max_queue_mib,
                  "Most bytes of waiting requests of a model, MiB")
      ->capture_default_str();
  app->add_option("--max-rpc-mib", flags->max_rpc_mib,
                  "Most that gRPC may buffer for all connections, MiB")
      ->capture_default_str();
  app->add_option("--max-message-bytes", options->limits.max_message_bytes,
                  "Largest message in either direction")
      ->capture_default_str();
  app->add_option("--max-streams-per-connection",
                  options->limits.max_streams_per_connection,
                  "Most calls at once on one connection")
      ->capture_default_str();
  app->add_option("--max-connection-age", flags->max_connection_age_seconds,
                  "Seconds until a connection is told to reconnect")
      ->capture_default_str();
  app->add_option("--drain-delay", flags->drain_delay_seconds,
                  "Seconds from SIGTERM until calls are refused")
      ->capture_default_str();
  app->add_option("--drain-timeout", flags->drain_timeout_seconds,
                  "Seconds that running calls get after that")
      ->capture_default_str();
  app->add_option("--step-deadline", flags->step_deadline_seconds,
                  "Seconds after which a step means a hung engine")
      ->capture_default_str();
  app->add_option("--stall-limit", flags->stall_limit_seconds,
                  "Seconds after which a stream ends whose client neither "
                  "sends nor reads")
      ->capture_default_str();
  app->add_flag("--span-metrics", flags->options.span_metrics,
                "Expose the span of every head as a gauge");
  app->add_option("--log-level", flags->log_level,
                  "debug, info, warning or error")
      ->capture_default_str();
  app->add_flag("--check-config", flags->check_config,
                "Check flags, environment and --config, open nothing, exit");
}

// The names of the folders directly below `root` that hold a config.json,
// in order.
absl::StatusOr<std::vector<std::string>> ModelsBelow(const std::string& root) {
  std::vector<std::string> names;
  std::error_code error;
  std::error_code ignored;
  for (std::filesystem::directory_iterator entry(root, error), end;
       !error && entry != end; entry.increment(error)) {
    if (std::filesystem::exists(entry->path() / "config.json", ignored)) {
      names.push_back(entry->path().filename().string());
    }
  }
  if (error) {
    return absl::InvalidArgumentError(
        absl::StrCat("--model-root ", root, ": ", error.message()));
  }
  std::sort(names.begin(), names.end());
  return names;
}

// Whether a listen flag was left at its default.
bool IsDefault(const CLI::App& app, const std::string& name) {
  return app.get_option(name)->count() == 0;
}

absl::StatusOr<absl::Duration> Seconds(absl::string_view flag, double value) {
  if (std::isnan(value)) {
    return absl::InvalidArgumentError(
        absl::StrCat("--", flag, ": nan, want a number of seconds"));
  }
  return absl::Seconds(value);
}

absl::Status Finish(const CLI::App& app, Flags* flags) {
  ServerOptions* options = &flags->options;
  std::vector<std::string> models = flags->models;
  if (models.empty() && !flags->model_root.empty()) {
    SPANLM_ASSIGN_OR_RETURN(models, ModelsBelow(flags->model_root));
  }
  for (const std::string& text : models) {
    SPANLM_ASSIGN_OR_RETURN(ModelSpec spec,
                            ParseModelSpec(text, flags->model_root));
    options->models.push_back(std::move(spec));
  }
  options->engine.state_budget_bytes =
      MebibytesToBytes(flags->session_budget_mib);
  options->engine.max_step_symbols = options->max_step_bytes;
  options->max_queue_bytes = MebibytesToBytes(flags->max_queue_mib);
  options->limits.max_rpc_bytes = MebibytesToBytes(flags->max_rpc_mib);
  SPANLM_ASSIGN_OR_RETURN(options->drain_delay,
                          Seconds("drain-delay", flags->drain_delay_seconds));
  SPANLM_ASSIGN_OR_RETURN(
      options->drain_timeout,
      Seconds("drain-timeout", flags->drain_timeout_seconds));
  SPANLM_ASSIGN_OR_RETURN(
      options->step_deadline,
      Seconds("step-deadline", flags->step_deadline_seconds));
  SPANLM_ASSIGN_OR_RETURN(options->stall_limit,
                          Seconds("stall-limit", flags->stall_limit_seconds));
  SPANLM_ASSIGN_OR_RETURN(
      options->limits.connection_age,
      Seconds("max-connection-age", flags->max_connection_age_seconds));
  const absl::StatusOr<HostPort> listen = ParseAddress(options->listen);
  if (listen.ok() && listen->port == 0) {
    const std::string any = "127.0.0.1:0";
    if (IsDefault(app, "--admin-listen")) options->admin_listen = any;
    if (IsDefault(app, "--health-listen")) options->health_listen = any;
    if (IsDefault(app, "--metrics-listen")) options->metrics_listen = any;
  }
  LogLevel level = LogLevel::kInfo;
  if (!ParseLogLevel(flags->log_level, &level)) {
    return absl::InvalidArgumentError(
        absl::StrCat("--log-level: ", flags->log_level,
                     ", want debug, info, warning or error"));
  }
  SetLogLevel(level);
  return Check(*options);
}

int ExitCode(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kUnimplemented:
    case absl::StatusCode::kResourceExhausted:
      return kExitUsage;
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kDataLoss:
      return kExitBadModel;
    case absl::StatusCode::kAlreadyExists:
      return kExitAddressInUse;
    case absl::StatusCode::kUnavailable:
      return kExitIo;
    default:
      return kExitEngine;
  }
}

int Fail(const absl::Status& status) {
  std::cerr << "spanlm-server: " << status.message() << std::endl;
  return ExitCode(status);
}

sigset_t EndSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  return signals;
}

// Waits up to `timeout` for a signal that ends the process; whether one came.
bool WaitForSignal(absl::Duration timeout) {
  const sigset_t signals = EndSignals();
  const timespec wait = absl::ToTimespec(timeout);
  return sigtimedwait(&signals, nullptr, &wait) > 0;
}

int Run(const ServerOptions& options) {
  absl::StatusOr<std::unique_ptr<Server>> server =
      Server::Start(options, CreateEngine);
  if (!server.ok()) return Fail(server.status());
  std::cout << (*server)->ServingLine() << std::endl;
  while (!WaitForSignal(kHealthInterval) && !(*server)->HasFailed()) {
    (*server)->RefreshHealth();
  }
  (*server)->Drain(WaitForSignal);
  return (*server)->HasFailed() ? kExitEngine : 0;
}

int Main(int argc, char** argv) {
  Flags flags;
  CLI::App app{"Serves byte-level language models over gRPC.", "spanlm-server"};
  app.set_version_flag("--version",
                       std::string("spanlm-server ") + SPANLM_VERSION);
  AddModelFlags(&app, &flags);
  AddListenFlags(&app, &flags);
  AddEngineFlags(&app, &flags);
  AddLimitFlags(&app, &flags);
  AddEnvironmentAndConfig(&app);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kExitUsage;
  }
  const absl::Status status = Finish(app, &flags);
  if (!status.ok()) return Fail(status);
  if (flags.check_config) return 0;
  // Before any thread starts, so that all of them inherit the mask.
  const sigset_t signals = EndSignals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  signal(SIGPIPE, SIG_IGN);
  return Run(flags.options);
}

}  // namespace
}  // namespace spanlm

int main(int argc, char** argv) { return spanlm::Main(argc, argv); }
