// SPDX-License-Identifier: Apache-2.0
#include "client/commands/command.h"

namespace spanlm {

ClientOptions MakeClientOptions(const CommonFlags& flags,
                                absl::Duration timeout) {
  ClientOptions options;
  options.address = flags.address;
  options.timeout = flags.timeout_seconds > 0
                        ? absl::Seconds(flags.timeout_seconds)
                        : timeout;
  return options;
}

double BitsOf(float log_prob) {
  constexpr double kBitsPerNat = 0x1.71547652b82fep0;
  // Not −0 for a certain byte.
  return 0.0 - static_cast<double>(log_prob) * kBitsPerNat;
}

absl::Status CheckWritten(const Console& console) {
  console.out.flush();
  if (console.out.good()) return absl::OkStatus();
  return absl::UnavailableError("standard output cannot be written");
}

}  // namespace spanlm
