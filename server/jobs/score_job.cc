// SPDX-License-Identifier: Apache-2.0
#include "server/jobs/score_job.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/status_macros.h"
#include "server/jobs/reason.h"

namespace spanlm {

// One item of a call.
class ScoreJob : public Job {
 public:
  // `result` belongs to `call`; both outlive the job.
  ScoreJob(ScoreCall* call, const ScoreItem& item, ScoreResult* result)
      : call_(call),
        item_(item),
        result_(result),
        scorer_(call->symbols_, call->options_) {
    result_->status = Check();
    result_->greedy = call_->options_.is_greedy;
    if (result_->status.ok()) {
      result_->byte_count = static_cast<int64_t>(item_.continuation.size());
    } else {
      *result_ = {result_->status, {}, 0, false, {}, {}};
    }
  }

  int64_t held_bytes() const override {
    return size() + static_cast<int64_t>(sizeof(*this) + sizeof(*result_));
  }
  bool done() const override {
    return !result_->status.ok() || item_.continuation.empty() ||
           position_ == size();
  }
  Work Ready() override { return {Phase::kPrefill, size() - position_}; }
  absl::StatusOr<Chunk> Next(int64_t max_symbols) override;
  absl::StatusOr<ByteCounts> Consume(const SequenceResult& result,
                                     const SpanCache& cache) override;
  void End(const absl::Status& status, const RequestTiming& timing) override {
    call_->EndItem(status, timing);
  }

 private:
  int64_t size() const {
    return static_cast<int64_t>(item_.context.size() +
                                item_.continuation.size());
  }
  absl::Status Check();

  ScoreCall* const call_;
  const ScoreItem item_;
  ScoreResult* const result_;
  ByteScorer scorer_;
  int64_t position_ = 0;  // in context and continuation together
  std::string bytes_;     // of the chunk in flight
  std::vector<uint16_t> chunk_;
};

// Texts are encoded piece by piece as they are read; encoding the whole first
// finds what cannot be read before anything is.
absl::Status ScoreJob::Check() {
  if (call_->symbols_->is_identity()) return absl::OkStatus();
  const auto index = result_ - call_->results_.data();
  std::vector<uint16_t> symbols;
  for (const auto& [name, text] :
       {std::pair<absl::string_view, absl::string_view>{"context",
                                                        item_.context},
        {"continuation", item_.continuation}}) {
    const absl::Status status = call_->symbols_->Encode(text, &symbols);
    if (!status.ok()) {
      return FieldError(absl::StrCat("items[", index, "].", name),
                        status.message(), kReasonFieldInvalid);
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<Chunk> ScoreJob::Next(int64_t max_symbols) {
  const size_t begin = static_cast<size_t>(position_);
  const size_t count = std::min<size_t>(max_symbols, size() - position_);
  const size_t context_size = item_.context.size();
  bytes_.clear();
  if (begin < context_size) {
    const absl::string_view part = item_.context.substr(begin, count);
    bytes_.append(part.data(), part.size());
  }
  if (bytes_.size() < count) {
    const absl::string_view part = item_.continuation.substr(
        begin + bytes_.size() - context_size, count - bytes_.size());
    bytes_.append(part.data(), part.size());
  }
  SPANLM_RETURN_IF_ERROR(call_->symbols_->Encode(bytes_, &chunk_));
  return Chunk{chunk_, scorer_.want(begin + count > context_size)};
}

absl::StatusOr<ByteCounts> ScoreJob::Consume(const SequenceResult& result,
                                             const SpanCache& cache) {
  const int64_t context_left =
      static_cast<int64_t>(item_.context.size()) - position_;
  const size_t unscored =
      static_cast<size_t>(std::clamp<int64_t>(context_left, 0, bytes_.size()));
  SPANLM_ASSIGN_OR_RETURN(ByteScores scores,
                          scorer_.Consume(bytes_, unscored, result, cache));
  position_ += static_cast<int64_t>(bytes_.size());
  result_->total += scores.Total(0, scores.log_probs.size());
  result_->greedy = result_->greedy && scores.greedy;
  if (call_->options_.per_byte) {
    result_->log_probs.insert(result_->log_probs.end(),
                              scores.log_probs.begin(), scores.log_probs.end());
  }
  std::move(scores.tops.begin(), scores.tops.end(),
            std::back_inserter(result_->tops));
  const int64_t scored = static_cast<int64_t>(scores.log_probs.size());
  return ByteCounts{static_cast<int64_t>(unscored), scored, 0};
}

ScoreCall::ScoreCall(const SymbolMap* symbols, std::vector<ScoreItem> items,
                     const ScoreOptions& options, Done done)
    : symbols_(symbols),
      items_(std::move(items)),
      options_(options),
      done_(std::move(done)),
      results_(items_.size()) {
  SPANLM_CHECK(!items_.empty());
}

std::vector<std::unique_ptr<Job>> ScoreCall::MakeJobs() {
  std::vector<std::unique_ptr<Job>> jobs;
  jobs.reserve(items_.size());
  for (size_t i = 0; i < items_.size(); ++i) {
    jobs.push_back(std::make_unique<ScoreJob>(this, items_[i], &results_[i]));
  }
  return jobs;
}

int64_t ScoreCall::input_bytes() const {
  int64_t bytes = 0;
  for (const ScoreItem& item : items_) {
    bytes +=
        static_cast<int64_t>(item.context.size() + item.continuation.size());
  }
  return bytes;
}

void ScoreCall::EndItem(const absl::Status& status,
                        const RequestTiming& timing) {
  status_.Update(status);
  if (++ended_ < items_.size()) return;
  // `done` may delete the call, and with it what it was stored in.
  const Done done = std::move(done_);
  absl::StatusOr<std::vector<ScoreResult>> results = std::move(results_);
  if (!status_.ok()) results = status_;
  done(results, timing);
}

}  // namespace spanlm
