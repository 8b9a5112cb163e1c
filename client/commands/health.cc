// SPDX-License-Identifier: Apache-2.0
#include "client/commands/health.h"

#include <memory>
#include <string>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "nlohmann/json.hpp"

namespace spanlm {
namespace {

using grpc::health::v1::HealthCheckResponse;

constexpr absl::Duration kTimeout = absl::Seconds(10);

absl::Status RunHealth(const std::string& service, const CommonFlags& flags,
                       Console& console) {
  Client client(MakeClientOptions(flags, kTimeout));
  SPANLM_ASSIGN_OR_RETURN(const auto serving, client.Health(service));
  const std::string name = HealthCheckResponse::ServingStatus_Name(serving);
  if (flags.json) {
    console.out << nlohmann::ordered_json{{"service", service},
                                          {"status", name}}
                << "\n";
  } else {
    console.out << name << "\n";
  }
  SPANLM_RETURN_IF_ERROR(CheckWritten(console));
  if (serving == HealthCheckResponse::SERVING) return absl::OkStatus();
  return absl::UnavailableError(
      absl::StrCat(service.empty() ? "the server" : service, " is ", name));
}

}  // namespace

void AddHealthCommand(CLI::App* app, Invocation* invocation) {
  auto service = std::make_shared<std::string>();
  CLI::App* command =
      app->add_subcommand("health", "Ask whether the server is serving");
  command->add_option("--service", *service,
                      "live, ready or a model's name; without it the server "
                      "as a whole");
  command->footer(
      "Exits with 0 if it is SERVING, with 84 if it is not.\n\n"
      "Example:\n  spanlm health --address 127.0.0.1:50053 --service live");
  command->callback([service, invocation] {
    invocation->run = [service](const CommonFlags& flags, Console& console) {
      return RunHealth(*service, flags, console);
    };
  });
}

}  // namespace spanlm
