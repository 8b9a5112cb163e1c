// SPDX-License-Identifier: Apache-2.0
// A file's bytes as memory, read when touched.
#pragma once

#include <cstddef>
#include <string>

#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace spanlm {

// A read-only mapping of a whole file. Who shortens the file while it is mapped
// ends the process on the next touch (SIGBUS); replacing it by another file is
// safe. Immutable; movable.
class MappedFile {
 public:
  // kNotFound: no such file, or not a regular one; kUnavailable: the system
  // refuses. Both name the path.
  static absl::StatusOr<MappedFile> Open(const std::string& path);

  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  absl::Span<const std::byte> bytes() const { return bytes_; }

 private:
  explicit MappedFile(absl::Span<const std::byte> bytes) : bytes_(bytes) {}

  absl::Span<const std::byte> bytes_;  // empty: nothing mapped
};

}  // namespace spanlm
