// SPDX-License-Identifier: Apache-2.0
#include "server/server_options.h"

#include <algorithm>
#include <limits>
#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/status_macros.h"

namespace spanlm {
namespace {

constexpr size_t kMaxModelNameSize = 63;

absl::Status CheckRange(absl::string_view flag, int64_t value, int64_t low,
                        int64_t high) {
  if (value >= low && value <= high) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("--", flag, ": ", value, ", want ", low, " to ", high));
}

absl::Status CheckDuration(absl::string_view flag, absl::Duration value,
                           absl::Duration low) {
  if (value >= low && value <= absl::Hours(24)) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("--", flag, ": ", absl::FormatDuration(value), ", want ",
                   absl::FormatDuration(low), " to 24h"));
}

absl::Status CheckAddress(absl::string_view flag, absl::string_view address,
                          bool may_be_public) {
  const absl::StatusOr<HostPort> parsed = ParseAddress(address);
  if (!parsed.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("--", flag, ": ", std::string(parsed.status().message())));
  }
  if (may_be_public || IsLoopback(parsed->host)) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "--", flag, ": ", std::string(address),
      " is plaintext on an address that is not loopback; say --insecure if "
      "that is meant"));
}

absl::Status CheckFormat(absl::string_view flag, absl::string_view format) {
  if (format == "fp32" || format == "bf16" || format == "int8") {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat("--", flag, ": ", format, ", want fp32, bf16 or int8"));
}

absl::Status CheckDevice(absl::string_view device) {
  absl::string_view number = device;
  int32_t index = 0;
  if (device == "cpu" || device == "cuda" ||
      (absl::ConsumePrefix(&number, "cuda:") &&
       absl::SimpleAtoi(number, &index) && index >= 0)) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat("--device: ", device, ", want cpu, cuda or cuda:N"));
}

absl::Status CheckModels(const ServerOptions& options) {
  if (options.models.empty()) {
    return absl::InvalidArgumentError(
        "--model: none given, want at least one NAME=DIR");
  }
  std::set<std::string> names;
  for (const ModelSpec& model : options.models) {
    // Names of grpc.health.v1 that are not a model's.
    if (model.name == "live" || model.name == "ready") {
      return absl::InvalidArgumentError(
          absl::StrCat("--model: the name ", model.name,
                       " is taken by the health of the whole server"));
    }
    if (!names.insert(model.name).second) {
      return absl::InvalidArgumentError(
          absl::StrCat("--model: the name ", model.name, " is given twice"));
    }
  }
  if (!options.default_model.empty() &&
      names.count(options.default_model) == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("--default-model: ", options.default_model,
                     " is not one of the models given by --model"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status Check(const ServerOptions& options) {
  SPANLM_RETURN_IF_ERROR(CheckModels(options));
  const bool open = options.insecure;
  SPANLM_RETURN_IF_ERROR(CheckAddress("listen", options.listen, open));
  SPANLM_RETURN_IF_ERROR(
      CheckAddress("admin-listen", options.admin_listen, open));
  SPANLM_RETURN_IF_ERROR(
      CheckAddress("health-listen", options.health_listen, true));
  SPANLM_RETURN_IF_ERROR(
      CheckAddress("metrics-listen", options.metrics_listen, true));
  SPANLM_RETURN_IF_ERROR(CheckDevice(options.engine.device));
  SPANLM_RETURN_IF_ERROR(CheckFormat("weights", options.engine.weights));
  SPANLM_RETURN_IF_ERROR(CheckFormat("kv", options.engine.kv));
  SPANLM_RETURN_IF_ERROR(
      CheckRange("threads", options.engine.threads, 0, 1024));
  SPANLM_RETURN_IF_ERROR(CheckRange("session-budget-mib",
                                    options.engine.state_budget_bytes >> 20, 1,
                                    int64_t{1} << 24));
  SPANLM_RETURN_IF_ERROR(
      CheckRange("max-step-bytes", options.max_step_bytes, 2, 65536));
  SPANLM_RETURN_IF_ERROR(
      CheckRange("max-queue-requests", options.max_queue_requests, 1, 1 << 20));
  SPANLM_RETURN_IF_ERROR(CheckRange(
      "max-queue-mib", options.max_queue_bytes >> 20, 1, int64_t{1} << 20));
  SPANLM_RETURN_IF_ERROR(CheckRange(
      "max-rpc-mib", options.limits.max_rpc_bytes >> 20, 16, int64_t{1} << 20));
  SPANLM_RETURN_IF_ERROR(CheckRange("max-message-bytes",
                                    options.limits.max_message_bytes, 65536,
                                    int64_t{1} << 30));
  SPANLM_RETURN_IF_ERROR(CheckRange("max-streams-per-connection",
                                    options.limits.max_streams_per_connection,
                                    1, 65536));
  SPANLM_RETURN_IF_ERROR(
      CheckDuration("drain-delay", options.drain_delay, absl::ZeroDuration()));
  SPANLM_RETURN_IF_ERROR(CheckDuration("drain-timeout", options.drain_timeout,
                                       absl::ZeroDuration()));
  SPANLM_RETURN_IF_ERROR(CheckDuration(
      "max-connection-age", options.limits.connection_age, absl::Seconds(1)));
  SPANLM_RETURN_IF_ERROR(
      CheckDuration("stall-limit", options.stall_limit, absl::Milliseconds(1)));
  return CheckDuration("step-deadline", options.step_deadline,
                       absl::Milliseconds(1));
}

int64_t MebibytesToBytes(int64_t mebibytes) {
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max() >> 20;
  return std::clamp(mebibytes, -kMost, kMost) * (int64_t{1} << 20);
}

absl::StatusOr<ModelSpec> ParseModelSpec(absl::string_view text,
                                         const std::string& model_root) {
  ModelSpec spec;
  const size_t equals = text.find('=');
  absl::string_view dir = text;
  if (equals == absl::string_view::npos) {
    absl::string_view folder = text;
    while (absl::EndsWith(folder, "/")) folder.remove_suffix(1);
    const size_t slash = folder.rfind('/');
    if (slash != absl::string_view::npos) folder.remove_prefix(slash + 1);
    spec.name = std::string(folder);
  } else {
    spec.name = std::string(text.substr(0, equals));
    dir = text.substr(equals + 1);
  }
  if (!IsModelName(spec.name)) {
    return absl::InvalidArgumentError(
        absl::StrCat("--model ", std::string(text), ": the name ", spec.name,
                     " does not match [a-z][a-z0-9-]{0,62}"));
  }
  if (dir.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("--model ", std::string(text), ": no folder"));
  }
  spec.dir = std::string(dir);
  if (!model_root.empty() && !absl::StartsWith(dir, "/")) {
    spec.dir = absl::StrCat(model_root, "/", spec.dir);
  }
  return spec;
}

bool IsModelName(absl::string_view name) {
  if (name.empty() || name.size() > kMaxModelNameSize) return false;
  if (name[0] < 'a' || name[0] > 'z') return false;
  for (const char c : name) {
    const bool fits =
        (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
    if (!fits) return false;
  }
  return true;
}

absl::StatusOr<HostPort> ParseAddress(absl::string_view address) {
  const size_t colon = address.rfind(':');
  HostPort parsed;
  if (colon != absl::string_view::npos &&
      absl::SimpleAtoi(address.substr(colon + 1), &parsed.port) &&
      parsed.port >= 0 && parsed.port <= 65535) {
    absl::string_view host = address.substr(0, colon);
    const bool bracketed =
        absl::StartsWith(host, "[") && absl::EndsWith(host, "]");
    if (bracketed) host = host.substr(1, host.size() - 2);
    const bool is_ipv6 = host.find(':') != absl::string_view::npos;
    if (!host.empty() && is_ipv6 == bracketed) {
      parsed.host = std::string(host);
      return parsed;
    }
  }
  return absl::InvalidArgumentError(absl::StrCat(
      std::string(address), ", want HOST:PORT with a port of 0 to 65535"));
}

bool IsLoopback(absl::string_view host) {
  if (host == "localhost" || host == "::1") return true;
  const std::vector<absl::string_view> parts = absl::StrSplit(host, '.');
  if (parts.size() != 4 || parts[0] != "127") return false;
  for (const absl::string_view part : parts) {
    int32_t value = 0;
    if (!absl::SimpleAtoi(part, &value) || value < 0 || value > 255) {
      return false;
    }
  }
  return true;
}

}  // namespace spanlm
