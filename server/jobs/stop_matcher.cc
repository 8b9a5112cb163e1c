// SPDX-License-Identifier: Apache-2.0
#include "server/jobs/stop_matcher.h"

namespace spanlm {
namespace {

constexpr int32_t kNoNode = -1;

}  // namespace

StopMatcher::StopMatcher(const std::vector<std::string>& sequences) {
  nodes_.emplace_back();
  nodes_[0].next.fill(kNoNode);
  for (size_t i = 0; i < sequences.size(); ++i) {
    Insert(sequences[i], static_cast<int32_t>(i));
  }
  LinkFailures();
}

void StopMatcher::Insert(const std::string& sequence, int32_t index) {
  int32_t node = 0;
  for (char c : sequence) {
    const uint8_t byte = static_cast<uint8_t>(c);
    if (nodes_[node].next[byte] == kNoNode) {
      nodes_[node].next[byte] = static_cast<int32_t>(nodes_.size());
      Node child;
      child.next.fill(kNoNode);
      child.depth = nodes_[node].depth + 1;
      nodes_.push_back(child);
    }
    node = nodes_[node].next[byte];
  }
  // Of equal sequences the first counts.
  if (nodes_[node].match == kNoNode) nodes_[node].match = index;
}

void StopMatcher::LinkFailures() {
  // Breadth first, so that a node's failure is complete before the node.
  std::vector<int32_t> order = {0};
  for (size_t i = 0; i < order.size(); ++i) {
    const int32_t node = order[i];
    const int32_t fail = nodes_[node].fail;
    if (nodes_[node].match == kNoNode) nodes_[node].match = nodes_[fail].match;
    for (int byte = 0; byte < 256; ++byte) {
      const int32_t after_fail = node == 0 ? 0 : nodes_[fail].next[byte];
      const int32_t child = nodes_[node].next[byte];
      if (child == kNoNode) {
        nodes_[node].next[byte] = after_fail;
      } else {
        nodes_[child].fail = after_fail;
        order.push_back(child);
      }
    }
  }
}

int StopMatcher::Push(uint8_t byte) {
  state_ = nodes_[state_].next[byte];
  return nodes_[state_].match;
}

}  // namespace spanlm
