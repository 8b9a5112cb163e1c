// SPDX-License-Identifier: Apache-2.0
// Finds stop sequences in bytes that come one by one.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace spanlm {

// An Aho–Corasick automaton. One thread at a time.
class StopMatcher {
 public:
  // Sequences of at least one byte each; none: never matches.
  explicit StopMatcher(const std::vector<std::string>& sequences);

  // Reads a byte. Returns the index of the longest sequence that ends with it,
  // or −1.
  int Push(uint8_t byte);

  // How many of the last bytes could be the beginning of a match: the longest
  // suffix that is a proper prefix of a sequence. They must be held back.
  int held() const { return nodes_[state_].depth; }

 private:
  struct Node {
    std::array<int32_t, 256> next;  // complete after construction
    int32_t fail = 0;
    int32_t depth = 0;
    int32_t match = -1;  // longest sequence that is a suffix of this node
  };
  void Insert(const std::string& sequence, int32_t index);
  void LinkFailures();

  std::vector<Node> nodes_;  // the root first
  int32_t state_ = 0;
};

}  // namespace spanlm
