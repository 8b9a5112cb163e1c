// SPDX-License-Identifier: Apache-2.0
// Where each head of one layer keeps its keys and values inside a cache slot.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace spanlm {

// A head whose scores reach back `window` positions and whose weights reach
// back `reach` owns a ring of keys and a ring of values of these lengths,
// rounded up to kBlock: a chunk attends to the rings and to its own keys, and
// its last rows are written afterwards. The two differ only where a softmax
// runs over the whole layer's window (renormalize: false). Immutable.
class SpanLayout {
 public:
  // `reaches[h]` and `windows[h]` belong to head `h`, positions.
  // kInvalidArgument: no head, lists of different lengths, or a reach, a
  // window or a head_dim that is below 1, a window below its reach, or rings
  // past what int64 can count.
  static absl::StatusOr<SpanLayout> Create(absl::Span<const int32_t> reaches,
                                           absl::Span<const int32_t> windows,
                                           int32_t head_dim);

  int heads() const { return static_cast<int>(rings_.size()); }
  int32_t head_dim() const { return head_dim_; }
  int32_t reach(int head) const { return rings_[head].reach; }
  int32_t window(int head) const { return rings_[head].window; }
  // Positions.
  int32_t key_capacity(int head) const { return rings_[head].key_capacity; }
  int32_t value_capacity(int head) const { return rings_[head].value_capacity; }
  // Elements from the layer's beginning; multiples of kBlock.
  int64_t key_offset(int head) const { return rings_[head].key_offset; }
  int64_t value_offset(int head) const { return rings_[head].value_offset; }
  // Elements the layer takes of a slot.
  int64_t size() const { return size_; }

 private:
  struct Ring {
    int32_t reach;
    int32_t window;
    int32_t key_capacity;
    int32_t value_capacity;
    int64_t key_offset;
    int64_t value_offset;
  };

  SpanLayout() = default;

  std::vector<Ring> rings_;  // [heads]
  int32_t head_dim_ = 0;
  int64_t size_ = 0;
};

}  // namespace spanlm
