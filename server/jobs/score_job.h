// SPDX-License-Identifier: Apache-2.0
// The items of a Score call, each scored after its own context.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/bits_total.h"
#include "engine/symbol_map.h"
#include "server/jobs/byte_scorer.h"
#include "server/jobs/job.h"

namespace spanlm {

// Both lent until the call is done.
struct ScoreItem {
  absl::string_view context;
  absl::string_view continuation;
};

// An item's score. The first byte of a text costs exactly 8 bits, and byte 0 is
// its arg-max.
struct ScoreResult {
  absl::Status status;  // kInvalidArgument: no symbol for one of its bytes
  BitsTotal total;
  int64_t byte_count = 0;
  bool greedy = true;            // all bytes so far the arg-max; if asked for
  std::vector<float> log_probs;  // nats, [byte_count] if per_byte
  std::vector<TopBytes> tops;    // [byte_count] if top_count > 0
};

// Gathers the results of a call's items. Must outlive its jobs: `done` is
// called once, at the end of the last of them, and may delete the call.
class ScoreCall {
 public:
  using Done = std::function<void(
      const absl::StatusOr<std::vector<ScoreResult>>& results,
      const RequestTiming& timing)>;

  // `symbols` is lent. At least one item.
  ScoreCall(const SymbolMap* symbols, std::vector<ScoreItem> items,
            const ScoreOptions& options, Done done);

  // One job an item, in order, to be submitted together. Call it once.
  std::vector<std::unique_ptr<Job>> MakeJobs();

  // Bytes of all items.
  int64_t input_bytes() const;

 private:
  friend class ScoreJob;
  void EndItem(const absl::Status& status, const RequestTiming& timing);

  const SymbolMap* const symbols_;
  const std::vector<ScoreItem> items_;
  const ScoreOptions options_;
  Done done_;
  std::vector<ScoreResult> results_;  // [items]
  size_t ended_ = 0;
  absl::Status status_;  // the first error of a job
};

}  // namespace spanlm
