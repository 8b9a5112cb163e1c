// SPDX-License-Identifier: Apache-2.0
// A file in memory that holds a fuzzer's input.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <string>

#include "base/check.h"

namespace spanlm {

// The path of a file with those bytes, until the next call. One thread at a
// time.
inline std::string FuzzFile(const uint8_t* data, size_t size) {
  static const int file = memfd_create("fuzz", MFD_CLOEXEC);
  SPANLM_CHECK(file >= 0 && ftruncate(file, 0) == 0);
  SPANLM_CHECK(pwrite(file, data, size, 0) == static_cast<ssize_t>(size));
  return "/proc/self/fd/" + std::to_string(file);
}

}  // namespace spanlm
