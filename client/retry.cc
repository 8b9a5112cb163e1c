// SPDX-License-Identifier: Apache-2.0
#include "client/retry.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "absl/strings/numbers.h"
#include "client/grpc_status.h"

namespace spanlm {
namespace {

struct Pushback {
  bool given = false;
  std::optional<absl::Duration> delay;  // none: do not come back
};

Pushback PushbackOf(const grpc::ClientContext& context) {
  const auto& trailers = context.GetServerTrailingMetadata();
  const auto found = trailers.find("grpc-retry-pushback-ms");
  if (found == trailers.end()) return {};
  const std::string text(found->second.data(), found->second.size());
  int64_t milliseconds = 0;
  if (!absl::SimpleAtoi(text, &milliseconds) || milliseconds < 0) {
    return {true, std::nullopt};
  }
  return {true, absl::Milliseconds(milliseconds)};
}

}  // namespace

Retry::Retry(const RetryOptions& options, absl::Time deadline)
    : options_(options), deadline_(deadline), random_(std::random_device{}()) {}

bool Retry::ShouldRetry(const grpc::Status& status,
                        const grpc::ClientContext& context) {
  if (++failures_ >= options_.max_attempts) return false;
  const std::optional<absl::Duration> delay = Delay(status, context);
  if (!delay || absl::Now() + *delay >= deadline_) return false;
  options_.sleep(*delay);
  return true;
}

std::optional<absl::Duration> Retry::Delay(const grpc::Status& status,
                                           const grpc::ClientContext& context) {
  const bool exhausted = status.error_code() == grpc::RESOURCE_EXHAUSTED;
  if (!IsCutOff(status) && !exhausted) return std::nullopt;
  const Pushback pushback = PushbackOf(context);
  if (pushback.given) return pushback.delay;
  if (exhausted) return std::nullopt;
  const absl::Duration backoff =
      std::min(options_.initial_backoff * std::exp2(failures_ - 1),
               options_.max_backoff);
  return backoff * std::uniform_real_distribution<double>(0.5, 1.0)(random_);
}

}  // namespace spanlm
