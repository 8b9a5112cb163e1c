// SPDX-License-Identifier: Apache-2.0
#include "server/jobs/score_stream_job.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "server/jobs/reason.h"

namespace spanlm {

ScoreStreamJob::ScoreStreamJob(const SymbolMap* symbols,
                               const ScoreStreamOptions& options,
                               TextInbox* inbox, ScoreStreamSink* sink)
    : symbols_(symbols),
      options_(options),
      inbox_(inbox),
      sink_(sink),
      scorer_(symbols, options.output),
      read_position_(options.start),
      state_(options.from),
      answered_(options.from) {}

int64_t ScoreStreamJob::held_bytes() const {
  return static_cast<int64_t>(sizeof(*this)) + options_.inbox_bytes;
}

int64_t ScoreStreamJob::ScoreBytesPerByte() const {
  int64_t bytes = options_.output.per_byte ? sizeof(float) : 0;
  if (options_.unit != ScoreUnit::kNone) bytes += sizeof(UnitScore);
  if (options_.output.top_count > 0) {
    bytes += TopBytesSize(options_.output.top_count);
  }
  return bytes;
}

Work ScoreStreamJob::Ready() {
  if (done_ || !sink_->has_room()) return {};
  // In this order: text never comes after the end.
  const bool is_finished = inbox_->is_finished();
  const int64_t size = inbox_->size_bytes();
  if (size == 0 && is_finished) {
    if (state_.unit_bytes > 0) CloseUnit();
    SendAnswer();
    done_ = true;
  }
  const int64_t most =
      options_.max_score_bytes / std::max<int64_t>(ScoreBytesPerByte(), 1);
  return {Phase::kPrefill, std::min(size, std::max<int64_t>(most, 1))};
}

absl::StatusOr<Chunk> ScoreStreamJob::Next(int64_t max_symbols) {
  inbox_->Take(max_symbols, &bytes_);
  sink_->OnTextTaken();
  const absl::Status status = symbols_->Encode(bytes_, &chunk_);
  if (!status.ok()) {
    return FieldError("chunk",
                      absl::StrCat("document from offset ", read_position_,
                                   " on: ", status.message()),
                      kReasonFieldInvalid);
  }
  const int64_t end = read_position_ + static_cast<int64_t>(bytes_.size());
  return Chunk{chunk_, scorer_.want(end > state_.position)};
}

absl::StatusOr<ByteCounts> ScoreStreamJob::Consume(const SequenceResult& result,
                                                   const SpanCache& cache) {
  const size_t unscored = static_cast<size_t>(
      std::clamp<int64_t>(state_.position - read_position_, 0, bytes_.size()));
  SPANLM_ASSIGN_OR_RETURN(ByteScores scores,
                          scorer_.Consume(bytes_, unscored, result, cache));
  read_position_ += static_cast<int64_t>(bytes_.size());
  const int64_t scored = static_cast<int64_t>(scores.log_probs.size());
  state_.position += scored;
  state_.total += scores.Total(0, scores.log_probs.size());
  state_.greedy = state_.greedy && scores.greedy;
  AddToUnits(absl::string_view(bytes_).substr(unscored), scores);
  if (options_.output.per_byte) {
    answer_.log_probs.insert(answer_.log_probs.end(), scores.log_probs.begin(),
                             scores.log_probs.end());
  }
  std::move(scores.tops.begin(), scores.tops.end(),
            std::back_inserter(answer_.tops));
  if (IsAnswerDue()) SendAnswer();
  return ByteCounts{static_cast<int64_t>(unscored), scored, 0};
}

bool ScoreStreamJob::IsAnswerDue() const {
  const int64_t text_bytes = state_.position - answered_.position;
  if (text_bytes == 0) return false;
  const int64_t score_bytes =
      static_cast<int64_t>(answer_.log_probs.size() * sizeof(float) +
                           answer_.units.size() * sizeof(UnitScore)) +
      static_cast<int64_t>(answer_.tops.size()) *
          TopBytesSize(options_.output.top_count);
  if (text_bytes >= kAnswerBytes || score_bytes >= options_.max_score_bytes) {
    return true;
  }
  // The last answer comes with the end.
  return !inbox_->is_finished() && inbox_->size_bytes() == 0;
}

void ScoreStreamJob::AddToUnits(absl::string_view bytes,
                                const ByteScores& scores) {
  size_t begin = 0;
  while (options_.unit != ScoreUnit::kNone && begin < bytes.size()) {
    size_t end = bytes.size();
    bool is_complete = false;
    if (options_.unit == ScoreUnit::kLine) {
      const size_t newline = bytes.find('\n', begin);
      is_complete = newline != absl::string_view::npos;
      if (is_complete) end = newline + 1;
    } else {
      const size_t left =
          static_cast<size_t>(options_.block_bytes - state_.unit_bytes);
      is_complete = bytes.size() - begin >= left;
      if (is_complete) end = begin + left;
    }
    state_.unit_bytes += static_cast<int64_t>(end - begin);
    state_.unit_total += scores.Total(begin, end);
    if (is_complete) CloseUnit();
    begin = end;
  }
}

void ScoreStreamJob::CloseUnit() {
  answer_.units.push_back({state_.unit_bytes, state_.unit_total});
  state_.unit_bytes = 0;
  state_.unit_total = BitsTotal();
}

void ScoreStreamJob::SendAnswer() {
  answer_.state = state_;
  answer_.delta = state_.total;
  answer_.delta -= answered_.total;
  answered_ = state_;
  sink_->OnAnswer(std::exchange(answer_, {}));
}

void ScoreStreamJob::End(const absl::Status& status,
                         const RequestTiming& timing) {
  sink_->OnEnd(status, timing);
}

}  // namespace spanlm
