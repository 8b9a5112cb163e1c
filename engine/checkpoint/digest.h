// SPDX-License-Identifier: Apache-2.0
// Digests that name files.
#pragma once

#include <cstddef>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace spanlm {

// SHA-256 in lower-case hex. Thread-safe.
std::string Sha256Hex(absl::Span<const std::byte> bytes);
std::string Sha256Hex(absl::string_view bytes);

// SHA-1 likewise: only to compare with what others have published.
std::string Sha1Hex(absl::Span<const std::byte> bytes);

}  // namespace spanlm
