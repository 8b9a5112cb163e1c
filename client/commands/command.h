// SPDX-License-Identifier: Apache-2.0
// What the commands of spanlm have in common.
#pragma once

#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/client.h"
#include "client/console.h"

namespace spanlm {

// The options that come before or after any command.
struct CommonFlags {
  std::string address = "127.0.0.1:50051";
  double timeout_seconds = 0;  // 0: not given
  std::string model;
  bool json = false;
};

// What the arguments ask for: each command's parser sets `run`.
struct Invocation {
  CommonFlags flags;
  std::function<absl::Status(const CommonFlags&, Console&)> run;
};

// Options for a call to `flags.address`; `timeout` unless --timeout was given.
ClientOptions MakeClientOptions(const CommonFlags& flags,
                                absl::Duration timeout);

// All bytes of a file; Unavailable names one that cannot be read.
absl::StatusOr<std::string> ReadInput(const std::string& path);

// ln P as −log2 P.
double BitsOf(float log_prob);

// Unavailable if results could not be written, to a full disk or a closed
// pipe.
absl::Status CheckWritten(const Console& console);

}  // namespace spanlm
