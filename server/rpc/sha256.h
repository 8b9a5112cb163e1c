// SPDX-License-Identifier: Apache-2.0
// SHA-256 of bytes that come in pieces, resumable.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

struct SHA256state_st;

namespace spanlm {

// A running digest that can be saved and taken up again elsewhere: OpenSSL's
// EVP interface cannot do that, so this keeps the state itself. One thread at
// a time.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256& other);
  Sha256& operator=(const Sha256& other);

  void Update(absl::string_view bytes);
  // The digest of all bytes so far, 64 lower-case hex digits. Updates may
  // follow.
  std::string Hex() const;

  // The state in a portable form, and back; kInvalidArgument: not such a form.
  std::string Save() const;
  static absl::StatusOr<Sha256> Load(absl::string_view saved);

 private:
  std::unique_ptr<SHA256state_st> state_;
};

}  // namespace spanlm
