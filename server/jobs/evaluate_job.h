// SPDX-License-Identifier: Apache-2.0
// The bits of a range of a data set, with progress to resume from.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/bits_total.h"
#include "engine/symbol_map.h"
#include "server/jobs/byte_scorer.h"
#include "server/jobs/job.h"

namespace spanlm {

// Replaces `*bytes` by the data's bytes [offset, offset + count). Called on the
// scheduler's thread, `count` at most 1 MiB; an error ends the evaluation.
using ReadData = std::function<absl::Status(int64_t offset, int64_t count,
                                            std::string* bytes)>;

// Where an evaluation stands; what a resume needs.
struct EvaluateState {
  int64_t position = 0;  // next byte to score, an offset in the data
  BitsTotal total;       // of [begin, position)
  // Of the range's completed blocks of block_bytes, if there are such.
  std::vector<BitsTotal> blocks;
};

// Takes an evaluation's news on the scheduler's thread. Owned by the call,
// which outlives the job.
class EvaluateSink {
 public:
  virtual ~EvaluateSink() = default;
  // The next bytes of the range, just scored; none is skipped (for a digest).
  virtual void OnScored(absl::string_view bytes) = 0;
  virtual void OnProgress(const EvaluateState& state) = 0;
  // The last call; with an error `state` is the place to resume from. After an
  // OK the last block, perhaps a short one, is in state.blocks.
  virtual void OnEnd(const absl::Status& status, const EvaluateState& state,
                     const RequestTiming& timing) = 0;
};

struct EvaluateOptions {
  int64_t begin = 0;
  int64_t end = 0;           // at least begin
  int64_t warmup_bytes = 0;  // read before begin; −1: all from the data's start
  // The model's. A resumed evaluation reads this much before its position (or
  // as far back as the first one did) and so finds the very same bits.
  int64_t receptive_field_bytes = 0;
  int64_t block_bytes = 0;  // blocks to report the bits of; 0: none
  absl::Duration progress_interval = absl::Seconds(1);
  int64_t inline_bytes = 0;  // of the data, if the request itself holds them
  EvaluateState from;        // position begin, unless it resumes
};

// Where reading begins so that scoring may begin at `position`: `warmup_bytes`
// earlier (−1: at 0), rounded down to a multiple of kBlock; at least one byte
// earlier unless position is 0, because only a text's start is uniform.
int64_t WarmupStart(int64_t position, int64_t warmup_bytes);

class EvaluateJob : public Job {
 public:
  // `symbols` and `sink` are lent; `now` is the clock of the progress.
  EvaluateJob(const SymbolMap* symbols, const EvaluateOptions& options,
              ReadData read, EvaluateSink* sink,
              std::function<absl::Time()> now);

  int64_t held_bytes() const override;
  int64_t start() const override { return start_; }
  bool done() const override { return state_.position >= options_.end; }
  Work Ready() override;
  absl::StatusOr<Chunk> Next(int64_t max_symbols) override;
  absl::StatusOr<ByteCounts> Consume(const SequenceResult& result,
                                     const SpanCache& cache) override;
  void End(const absl::Status& status, const RequestTiming& timing) override;

 private:
  absl::Status FillWindow();
  void AddScores(const ByteScores& scores);
  void CloseBlock();

  const SymbolMap* const symbols_;
  const EvaluateOptions options_;
  const int64_t start_;
  const ReadData read_;
  EvaluateSink* const sink_;
  const std::function<absl::Time()> now_;
  ByteScorer scorer_;
  EvaluateState state_;
  BitsTotal block_total_;          // of the block that has begun
  int64_t read_position_;          // offset of the next byte to read
  std::string window_;             // bytes of the data read ahead
  int64_t window_offset_;          // where window_ begins
  absl::string_view chunk_bytes_;  // in window_
  std::vector<uint16_t> chunk_;
  absl::Time last_progress_;
};

}  // namespace spanlm
