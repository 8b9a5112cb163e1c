// SPDX-License-Identifier: Apache-2.0
#include "server/scheduler/batch_policy.h"

#include <algorithm>

namespace spanlm {
namespace {

using Plan = std::vector<int32_t>;

// The indices of the demands of `phase` that want something, the highest
// priority first, else in the order given.
std::vector<size_t> InOrder(absl::Span<const Demand> demands, Phase phase) {
  std::vector<size_t> order;
  for (size_t i = 0; i < demands.size(); ++i) {
    const Work& work = demands[i].work;
    if (work.phase == phase && work.symbols > 0) order.push_back(i);
  }
  std::stable_sort(order.begin(), order.end(), [demands](size_t a, size_t b) {
    return demands[a].priority < demands[b].priority;
  });
  return order;
}

int32_t LeastOf(int64_t wish, int32_t bound) {
  return static_cast<int32_t>(std::min<int64_t>(wish, bound));
}

// Shares `*left` evenly among `jobs`, none of which gets more than its cap.
void ShareEvenly(absl::Span<const size_t> jobs, absl::Span<const int32_t> caps,
                 int32_t* left, Plan* plan) {
  std::vector<size_t> hungry;
  do {
    hungry.clear();
    for (size_t job : jobs) {
      if ((*plan)[job] < caps[job]) hungry.push_back(job);
    }
    for (size_t i = 0; i < hungry.size(); ++i) {
      const int32_t others = static_cast<int32_t>(hungry.size() - i);
      const int32_t share = (*left + others - 1) / others;
      int32_t& given = (*plan)[hungry[i]];
      const int32_t more = std::min(share, caps[hungry[i]] - given);
      given += more;
      *left -= more;
    }
  } while (!hungry.empty() && *left > 0);
}

}  // namespace

std::vector<int32_t> PlanStep(absl::Span<const Demand> demands,
                              const BatchPolicy& policy) {
  const std::vector<size_t> decodes = InOrder(demands, Phase::kDecode);
  const std::vector<size_t> prefills = InOrder(demands, Phase::kPrefill);
  Plan plan(demands.size(), 0);
  const int32_t for_prefills = decodes.empty()
                                   ? policy.max_step_symbols
                                   : policy.prefills_beside_decodes();
  int32_t for_decodes = policy.max_step_symbols;
  if (!prefills.empty()) for_decodes -= for_prefills;
  for (size_t job : decodes) {
    if (for_decodes == 0) break;
    plan[job] = 1;
    --for_decodes;
  }
  const bool is_bounded = decodes.empty() && prefills.size() > 1;
  const int32_t bound = is_bounded ? for_prefills / 2 : for_prefills;
  const int32_t min_share = std::max(1, for_prefills / 16);
  int32_t left = for_prefills;
  Plan caps(demands.size(), 0);
  for (size_t job : prefills) {
    caps[job] = LeastOf(demands[job].work.symbols, bound);
    plan[job] = std::min({caps[job], min_share, left});
    left -= plan[job];
  }
  for (size_t begin = 0, end = 0; begin < prefills.size(); begin = end) {
    const Priority priority = demands[prefills[begin]].priority;
    while (end < prefills.size() &&
           demands[prefills[end]].priority == priority) {
      ++end;
    }
    ShareEvenly(absl::MakeConstSpan(prefills).subspan(begin, end - begin), caps,
                &left, &plan);
  }
  return plan;
}

}  // namespace spanlm
