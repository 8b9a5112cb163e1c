// SPDX-License-Identifier: Apache-2.0
#include "engine/cache/span_layout.h"

#include <limits>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "engine/engine.h"

namespace spanlm {
namespace {

constexpr int64_t kMaxCapacity = std::numeric_limits<int32_t>::max();

int64_t RoundUpToBlock(int32_t positions) {
  return (int64_t{positions} + kBlock - 1) / kBlock * kBlock;
}

absl::Status CheckHead(size_t head, int32_t reach, int32_t window) {
  if (reach < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("head ", head, ": reach ", reach, ", want at least 1"));
  }
  if (window < reach) {
    return absl::InvalidArgumentError(
        absl::StrCat("head ", head, ": window ", window,
                     ", want at least its reach ", reach));
  }
  if (RoundUpToBlock(window) > kMaxCapacity) {
    return absl::InvalidArgumentError(
        absl::StrCat("head ", head, ": window ", window, ", want at most ",
                     kMaxCapacity / kBlock * kBlock));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<SpanLayout> SpanLayout::Create(absl::Span<const int32_t> reaches,
                                              absl::Span<const int32_t> windows,
                                              int32_t head_dim) {
  if (reaches.empty() || reaches.size() != windows.size()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "layout of ", reaches.size(), " reaches and ", windows.size(),
        " windows, want one of each for at least one head"));
  }
  if (head_dim < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("head_dim ", head_dim, ", want at least 1"));
  }
  SpanLayout layout;
  layout.head_dim_ = head_dim;
  for (size_t h = 0; h < reaches.size(); ++h) {
    const absl::Status status = CheckHead(h, reaches[h], windows[h]);
    if (!status.ok()) return status;
    const int64_t keys = RoundUpToBlock(windows[h]);
    const int64_t values = RoundUpToBlock(reaches[h]);
    // Divide rather than multiply: the product may wrap.
    if ((std::numeric_limits<int64_t>::max() - layout.size_) / head_dim <
        keys + values) {
      return absl::InvalidArgumentError(absl::StrCat(
          "head ", h, ": rings of ", keys + values, " positions of ", head_dim,
          " do not fit what int64 can count"));
    }
    layout.rings_.push_back({reaches[h], windows[h], static_cast<int32_t>(keys),
                             static_cast<int32_t>(values), layout.size_,
                             layout.size_ + keys * head_dim});
    layout.size_ += (keys + values) * head_dim;
  }
  return layout;
}

}  // namespace spanlm
