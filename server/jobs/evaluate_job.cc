// SPDX-License-Identifier: Apache-2.0
#include "server/jobs/evaluate_job.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "engine/engine.h"
#include "server/jobs/reason.h"

namespace spanlm {
namespace {

constexpr int64_t kWindowBytes = 64 << 10;

// A resumed evaluation reads on as if it had never stopped: from where the
// first one began, or as far back as the model can see.
int64_t StartOf(const EvaluateOptions& options, int64_t position) {
  const int64_t first = WarmupStart(options.begin, options.warmup_bytes);
  if (position == options.begin) return first;
  return std::max(first, WarmupStart(position, options.receptive_field_bytes));
}

}  // namespace

int64_t WarmupStart(int64_t position, int64_t warmup_bytes) {
  if (warmup_bytes < 0 || warmup_bytes >= position) return 0;
  const int64_t start = position - std::max<int64_t>(warmup_bytes, 1);
  return start - start % kBlock;
}

EvaluateJob::EvaluateJob(const SymbolMap* symbols,
                         const EvaluateOptions& options, ReadData read,
                         EvaluateSink* sink, std::function<absl::Time()> now)
    : symbols_(symbols),
      options_(options),
      start_(StartOf(options, std::max(options.from.position, options.begin))),
      read_(std::move(read)),
      sink_(sink),
      now_(std::move(now)),
      scorer_(symbols, ScoreOptions()),
      state_(options.from),
      block_total_(options.from.total),
      read_position_(start_),
      window_offset_(start_),
      last_progress_(now_()) {
  state_.position = std::max(options.from.position, options.begin);
  for (const BitsTotal& block : state_.blocks) block_total_ -= block;
}

int64_t EvaluateJob::held_bytes() const {
  const size_t blocks = options_.from.blocks.size() + state_.blocks.size();
  return static_cast<int64_t>(sizeof(*this) + blocks * sizeof(BitsTotal)) +
         options_.inline_bytes;
}

Work EvaluateJob::Ready() {
  return {Phase::kPrefill, options_.end - read_position_};
}

absl::Status EvaluateJob::FillWindow() {
  const int64_t count = std::min(kWindowBytes, options_.end - read_position_);
  SPANLM_RETURN_IF_ERROR(read_(read_position_, count, &window_));
  window_offset_ = read_position_;
  if (static_cast<int64_t>(window_.size()) == count) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat("data from offset ", read_position_,
                                          " on: got ", window_.size(),
                                          " bytes, want ", count));
}

absl::StatusOr<Chunk> EvaluateJob::Next(int64_t max_symbols) {
  const int64_t count = std::min(max_symbols, options_.end - read_position_);
  const int64_t window_end =
      window_offset_ + static_cast<int64_t>(window_.size());
  if (window_end - read_position_ < count) SPANLM_RETURN_IF_ERROR(FillWindow());
  // A plan may ask for more than a window holds.
  chunk_bytes_ = absl::string_view(window_).substr(
      static_cast<size_t>(read_position_ - window_offset_),
      static_cast<size_t>(count));
  const absl::Status status = symbols_->Encode(chunk_bytes_, &chunk_);
  if (!status.ok()) {
    return FieldError(
        options_.inline_bytes > 0 ? "data" : "dataset",
        absl::StrCat("from offset ", read_position_, " on: ", status.message()),
        kReasonFieldInvalid);
  }
  const int64_t end =
      read_position_ + static_cast<int64_t>(chunk_bytes_.size());
  return Chunk{chunk_, scorer_.want(end > state_.position)};
}

absl::StatusOr<ByteCounts> EvaluateJob::Consume(const SequenceResult& result,
                                                const SpanCache& cache) {
  const int64_t size = static_cast<int64_t>(chunk_bytes_.size());
  const int64_t unscored =
      std::clamp<int64_t>(state_.position - read_position_, 0, size);
  SPANLM_ASSIGN_OR_RETURN(
      const ByteScores scores,
      scorer_.Consume(chunk_bytes_, static_cast<size_t>(unscored), result,
                      cache));
  read_position_ += size;
  AddScores(scores);
  if (unscored < size) {
    sink_->OnScored(chunk_bytes_.substr(static_cast<size_t>(unscored)));
  }
  const absl::Time now = now_();
  if (now - last_progress_ >= options_.progress_interval && !done()) {
    last_progress_ = now;
    sink_->OnProgress(state_);
  }
  return ByteCounts{unscored, size - unscored, 0};
}

void EvaluateJob::AddScores(const ByteScores& scores) {
  const size_t size = scores.log_probs.size();
  size_t begin = 0;
  while (begin < size) {
    size_t end = size;
    if (options_.block_bytes > 0) {
      const int64_t into_block =
          (state_.position - options_.begin) % options_.block_bytes;
      const int64_t left = options_.block_bytes - into_block;
      end = std::min(size, begin + static_cast<size_t>(left));
    }
    const BitsTotal total = scores.Total(begin, end);
    state_.total += total;
    state_.position += static_cast<int64_t>(end - begin);
    block_total_ += total;
    if (options_.block_bytes > 0 &&
        (state_.position - options_.begin) % options_.block_bytes == 0) {
      CloseBlock();
    }
    begin = end;
  }
}

void EvaluateJob::CloseBlock() {
  state_.blocks.push_back(block_total_);
  block_total_ = BitsTotal();
}

void EvaluateJob::End(const absl::Status& status, const RequestTiming& timing) {
  if (status.ok() && options_.block_bytes > 0 &&
      (state_.position - options_.begin) % options_.block_bytes != 0) {
    CloseBlock();
  }
  sink_->OnEnd(status, state_, timing);
}

}  // namespace spanlm
