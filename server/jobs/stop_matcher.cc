// SPDX-License-Identifier: Apache-2.0
#include "server/jobs/stop_matcher.h"

#include <algorithm>

namespace spanlm {

StopMatcher::StopMatcher(const std::vector<std::string>& sequences) {
  for (const std::string& bytes : sequences) {
    Sequence sequence;
    sequence.bytes = bytes;
    sequence.borders = {0};
    // A border is what the sequence matches of itself, one byte later.
    for (size_t i = 1; i < bytes.size(); ++i) {
      sequence.Push(bytes[i]);
      sequence.borders.push_back(sequence.matched);
    }
    sequence.matched = 0;
    sequences_.push_back(std::move(sequence));
  }
}

bool StopMatcher::Sequence::Push(char byte) {
  while (matched > 0 && bytes[matched] != byte) {
    matched = borders[matched - 1];
  }
  if (bytes[matched] == byte) ++matched;
  if (matched < static_cast<int32_t>(bytes.size())) return false;
  matched = borders.back();
  return true;
}

int StopMatcher::Push(uint8_t byte) {
  int match = -1;
  held_ = 0;
  for (size_t i = 0; i < sequences_.size(); ++i) {
    Sequence& sequence = sequences_[i];
    const bool ends = sequence.Push(static_cast<char>(byte));
    held_ = std::max(held_, sequence.matched);
    if (ends &&
        (match < 0 || sequence.bytes.size() > sequences_[match].bytes.size())) {
      match = static_cast<int>(i);
    }
  }
  return match;
}

int64_t StopMatcher::held_bytes() const {
  size_t bytes = sizeof(*this);
  for (const Sequence& sequence : sequences_) {
    bytes += sizeof(sequence) + sequence.bytes.capacity() +
             sequence.borders.capacity() * sizeof(int32_t);
  }
  return static_cast<int64_t>(bytes);
}

}  // namespace spanlm
