// SPDX-License-Identifier: Apache-2.0
#include "engine/checkpoint/digest.h"

#include <openssl/evp.h>

#include <array>

#include "absl/strings/escaping.h"
#include "base/check.h"

namespace spanlm {
namespace {

std::string Hex(absl::string_view bytes, const EVP_MD* kind) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int size = 0;
  SPANLM_CHECK(EVP_Digest(bytes.data(), bytes.size(), digest.data(), &size,
                          kind, nullptr) == 1);
  return absl::BytesToHexString(
      absl::string_view(reinterpret_cast<const char*>(digest.data()), size));
}

absl::string_view AsText(absl::Span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace

std::string Sha256Hex(absl::string_view bytes) {
  return Hex(bytes, EVP_sha256());
}

std::string Sha256Hex(absl::Span<const std::byte> bytes) {
  return Sha256Hex(AsText(bytes));
}

std::string Sha1Hex(absl::Span<const std::byte> bytes) {
  return Hex(AsText(bytes), EVP_sha1());
}

}  // namespace spanlm
