// SPDX-License-Identifier: Apache-2.0
// A data set's bits per byte from one server or many, exactly and resumably.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "base/bits_total.h"
#include "client/client.h"
#include "client/progress.h"
#include "spanlm/v1/evaluation.pb.h"

namespace spanlm {

// What to evaluate; as the user said it, so that a resume can be checked.
struct EvaluationOrder {
  std::string model;  // empty: the server's default
  std::string dataset;
  v1::EvaluationProtocol protocol = v1::EVALUATION_PROTOCOL_FULL_STREAM;
  int64_t begin = 0;
  int64_t end = -1;  // -1: the data set's
  int32_t shard_count = 1;
};

// One shard's range and how far it is.
struct EvaluationShard {
  int64_t begin = 0;
  int64_t end = -1;          // -1: the data set's
  std::string resume_token;  // empty: from its begin
  int64_t scored_bytes = 0;
  int64_t total_bytes = 0;
  BitsTotal bits;
  bool has_result = false;
  v1::EvaluationResult result;
};

// The sum over adjacent shards.
struct EvaluationTotal {
  int64_t begin = 0;
  int64_t end = 0;
  int64_t byte_count = 0;
  BitsTotal bits;
  std::string model_version;
  std::string model_digest;
  std::string numerics;
  v1::EvaluationProtocol protocol = v1::EVALUATION_PROTOCOL_FULL_STREAM;

  double bits_per_byte() const {
    return byte_count == 0 ? 0 : bits.bits() / byte_count;
  }
};

// Cuts [begin, end) into at most `count` ranges of nearly equal length whose
// inner boundaries are multiples of kShardGrid. A short range gives fewer.
inline constexpr int64_t kShardGrid = 1024;
std::vector<EvaluationShard> SplitRange(int64_t begin, int64_t end,
                                        int32_t count);

// Adds the results of adjacent ranges in their order. FailedPrecondition if
// they have different digests, numerics or protocols or do not adjoin: such a
// sum would mean nothing.
absl::StatusOr<EvaluationTotal> MergeResults(
    absl::Span<const v1::EvaluationResult> results);

// An evaluation under way. Shards run at once, shard i on client i modulo
// their number, and where that one's server is gone it goes on on the next. One
// thread at a time.
class Evaluation {
 public:
  struct Options {
    std::string resume_file;  // empty: none
    std::function<void(const Progress::State&)> on_progress;
  };

  // `clients` outlive this and are not empty.
  Evaluation(EvaluationOrder order, std::vector<Client*> clients,
             Options options);

  // Runs to the end, from the resume file if there is one, and merges. On an
  // error, what was reached is in that file.
  absl::StatusOr<EvaluationTotal> Run();

  // Bytes scored by Run, those of earlier runs not included.
  int64_t fresh_bytes() const { return fresh_bytes_; }

 private:
  class SharedState;

  absl::StatusOr<v1::EvaluationResult> RunShard(size_t index,
                                                SharedState* state);
  absl::StatusOr<std::vector<EvaluationShard>> Plan();
  absl::StatusOr<int64_t> DatasetSize();

  const EvaluationOrder order_;
  const std::vector<Client*> clients_;
  const Options options_;
  int64_t fresh_bytes_ = 0;
};

}  // namespace spanlm
