// SPDX-License-Identifier: Apache-2.0
#include "engine/step/aligned_floats.h"

#include <sys/mman.h>

#include <limits>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace spanlm {
namespace {

// From here on a huge page is worth its rounding.
constexpr size_t kHugeBytes = size_t{4} << 20;

}  // namespace

void AlignedFloats::Unmap::operator()(float* data) const {
  munmap(data, static_cast<size_t>(size) * sizeof(float));
}

absl::StatusOr<AlignedFloats> AlignedFloats::Create(int64_t size) {
  if (size == 0) return AlignedFloats();
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max() / sizeof(float);
  const size_t bytes = static_cast<size_t>(size) * sizeof(float);
  void* pages = size < 0 || size > kMost
                    ? MAP_FAILED
                    : mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (pages == MAP_FAILED) {
    return absl::ResourceExhaustedError(
        absl::StrCat("out of memory: no room for ", size, " floats"));
  }
  if (bytes >= kHugeBytes) madvise(pages, bytes, MADV_HUGEPAGE);
  return AlignedFloats(
      std::unique_ptr<float[], Unmap>(static_cast<float*>(pages), Unmap(size)));
}

}  // namespace spanlm
