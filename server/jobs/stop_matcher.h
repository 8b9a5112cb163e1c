// SPDX-License-Identifier: Apache-2.0
// Finds stop sequences in bytes that come one by one.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace spanlm {

// Knuth, Morris and Pratt's matcher, one a sequence: a few sequences of at most
// some hundred bytes do not pay for an automaton of them all. One thread at a
// time.
class StopMatcher {
 public:
  // Sequences of at least one byte each; none: never matches.
  explicit StopMatcher(const std::vector<std::string>& sequences);

  // Reads a byte. Returns the index of the longest sequence that ends with it,
  // or −1; of equal sequences the first.
  int Push(uint8_t byte);

  // How many of the last bytes could be the beginning of a match: the longest
  // suffix that is a proper prefix of a sequence. They must be held back.
  int held() const { return held_; }

  // Memory in use.
  int64_t held_bytes() const;

 private:
  struct Sequence {
    std::string bytes;
    // [bytes] of the first i + 1 bytes, the longest proper suffix that is a
    // prefix.
    std::vector<int32_t> borders;
    int32_t matched = 0;  // bytes of the longest prefix that ends here

    // Reads a byte; whether the sequence ends with it.
    bool Push(char byte);
  };

  std::vector<Sequence> sequences_;
  int32_t held_ = 0;
};

}  // namespace spanlm
