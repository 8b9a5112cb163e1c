// SPDX-License-Identifier: Apache-2.0
#include "engine/checkpoint/digest.h"

#include <openssl/evp.h>

#include <array>

#include "absl/strings/escaping.h"
#include "base/check.h"

namespace spanlm {

std::string Sha256Hex(absl::string_view bytes) {
  std::array<unsigned char, 32> digest{};
  unsigned int size = 0;
  SPANLM_CHECK(EVP_Digest(bytes.data(), bytes.size(), digest.data(), &size,
                          EVP_sha256(), nullptr) == 1 &&
               size == digest.size());
  return absl::BytesToHexString(absl::string_view(
      reinterpret_cast<const char*>(digest.data()), digest.size()));
}

std::string Sha256Hex(absl::Span<const std::byte> bytes) {
  return Sha256Hex(absl::string_view(
      reinterpret_cast<const char*>(bytes.data()), bytes.size()));
}

}  // namespace spanlm
