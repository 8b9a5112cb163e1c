// SPDX-License-Identifier: Apache-2.0
#include "client/commands/command.h"

#include <fstream>

#include "base/bits_total.h"

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

absl::StatusOr<std::string> ReadInput(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string bytes;
  char block[1 << 16];
  while (file.good()) {
    file.read(block, sizeof(block));
    bytes.append(block, static_cast<size_t>(file.gcount()));
  }
  if (file.is_open() && file.eof() && !file.bad()) return bytes;
  return absl::UnavailableError(path + " cannot be read");
}

double BitsOf(float log_prob) {
  BitsTotal bits;
  bits.Add(-log_prob);
  return bits.bits();
}

absl::Status CheckWritten(const Console& console) {
  console.out.flush();
  if (console.out.good()) return absl::OkStatus();
  return absl::UnavailableError("standard output cannot be written");
}

}  // namespace spanlm
