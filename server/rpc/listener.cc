// SPDX-License-Identifier: Apache-2.0
#include "server/rpc/listener.h"

#include <google/protobuf/stubs/logging.h>
#include <grpc/grpc.h>
#include <grpc/support/log.h>
#include <grpcpp/ext/channelz_service_plugin.h>
#include <grpcpp/ext/health_check_service_server_builder_option.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server_builder.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log.h"

namespace spanlm {
namespace {

constexpr char kChannelzPlugin[] = "channelz_service";
constexpr char kReflectionPlugin[] = "proto_server_reflection";
constexpr int kHandshakeTimeoutMs = 10000;

// gRPC adds standard services to every server of the process; this keeps, for
// one server, those that are wanted there.
class StandardServices : public grpc::ServerBuilderOption {
 public:
  StandardServices(bool has_reflection, bool has_channelz)
      : has_reflection_(has_reflection), has_channelz_(has_channelz) {}

  void UpdateArguments(grpc::ChannelArguments* /*args*/) override {}

  void UpdatePlugins(std::vector<std::unique_ptr<grpc::ServerBuilderPlugin>>*
                         plugins) override {
    const auto is_unwanted = [this](const auto& plugin) {
      return (!has_reflection_ && plugin->name() == kReflectionPlugin) ||
             (!has_channelz_ && plugin->name() == kChannelzPlugin);
    };
    plugins->erase(
        std::remove_if(plugins->begin(), plugins->end(), is_unwanted),
        plugins->end());
  }

 private:
  const bool has_reflection_;
  const bool has_channelz_;
};

void ForwardLog(gpr_log_func_args* args) {
  const LogLevel level = args->severity == GPR_LOG_SEVERITY_ERROR
                             ? LogLevel::kWarning
                             : LogLevel::kDebug;
  Log(level, "grpc",
      {{"message", args->message}, {"file", args->file}, {"line", args->line}});
}

// What does not parse is a client's doing and answered for: never more than
// debug.
void ForwardProtobufLog(google::protobuf::LogLevel /*level*/, const char* file,
                        int line, const std::string& message) {
  Log(LogLevel::kDebug, "protobuf",
      {{"message", message}, {"file", file}, {"line", line}});
}

int Milliseconds(absl::Duration duration) {
  return static_cast<int>(absl::ToInt64Milliseconds(duration));
}

void SetLimits(const RpcLimits& limits, grpc::ServerBuilder* builder) {
  builder->SetMaxReceiveMessageSize(limits.max_message_bytes);
  builder->SetMaxSendMessageSize(limits.max_message_bytes);
  const std::pair<const char*, int> arguments[] = {
      {GRPC_ARG_ALLOW_REUSEPORT, 0},
      {GRPC_ARG_MAX_CONCURRENT_STREAMS, limits.max_streams_per_connection},
      {GRPC_ARG_MAX_METADATA_SIZE, limits.max_metadata_bytes},
      {GRPC_ARG_MAX_CONNECTION_AGE_MS, Milliseconds(limits.connection_age)},
      {GRPC_ARG_MAX_CONNECTION_IDLE_MS, Milliseconds(limits.connection_idle)},
      {GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
       Milliseconds(limits.min_ping_interval)},
      {GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1},
      {GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, kHandshakeTimeoutMs},
  };
  for (const auto& [name, value] : arguments) {
    builder->AddChannelArgument(name, value);
  }
}

}  // namespace

void Listener::PrepareProcess() {
  gpr_set_log_function(ForwardLog);
  google::protobuf::SetLogHandler(ForwardProtobufLog);
  grpc::EnableDefaultHealthCheckService(true);
  grpc::channelz::experimental::InitChannelzService();
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
}

absl::StatusOr<std::unique_ptr<Listener>> Listener::Start(
    const ListenerOptions& options) {
  const absl::StatusOr<HostPort> address = ParseAddress(options.address);
  if (!address.ok()) return address.status();
  grpc::ServerBuilder builder;
  SetLimits(options.limits, &builder);
  if (options.quota != nullptr) builder.SetResourceQuota(*options.quota);
  builder.SetOption(std::make_unique<StandardServices>(options.has_reflection,
                                                       options.has_channelz));
  if (!options.has_health) {
    builder.SetOption(
        std::make_unique<grpc::HealthCheckServiceServerBuilderOption>(nullptr));
  }
  if (options.new_interceptors) {
    std::vector<
        std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>>
        creators;
    creators.push_back(options.new_interceptors());
    builder.experimental().SetInterceptorCreators(std::move(creators));
  }
  for (grpc::Service* service : options.services) {
    builder.RegisterService(service);
  }
  std::unique_ptr<grpc::CallbackGenericService> other_calls;
  if (options.services.empty()) {
    other_calls = std::make_unique<grpc::CallbackGenericService>();
    builder.RegisterCallbackGenericService(other_calls.get());
  }
  int port = 0;
  builder.AddListeningPort(options.address, grpc::InsecureServerCredentials(),
                           &port);
  std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr || port == 0) {
    return absl::AlreadyExistsError(
        absl::StrCat("cannot listen on ", options.address,
                     ": it is in use, or no address of this machine"));
  }
  if (server->GetHealthCheckService() != nullptr) {
    server->GetHealthCheckService()->SetServingStatus(false);
  }
  const bool is_ipv6 = address->host.find(':') != std::string::npos;
  return std::unique_ptr<Listener>(
      new Listener(std::move(other_calls), std::move(server),
                   is_ipv6 ? absl::StrCat("[", address->host, "]:", port)
                           : absl::StrCat(address->host, ":", port)));
}

void Listener::SetServing(const std::string& service, bool is_serving) {
  grpc::HealthCheckServiceInterface* health = server_->GetHealthCheckService();
  if (health != nullptr) health->SetServingStatus(service, is_serving);
}

}  // namespace spanlm
