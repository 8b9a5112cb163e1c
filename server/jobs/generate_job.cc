// SPDX-License-Identifier: Apache-2.0
#include "server/jobs/generate_job.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "server/jobs/reason.h"

namespace spanlm {
namespace {

// Moves the first `count` entries of `*from` out, if it has any.
template <typename T>
std::vector<T> TakeFront(std::vector<T>* from, size_t count) {
  const auto end = from->begin() + std::min(count, from->size());
  std::vector<T> front(std::make_move_iterator(from->begin()),
                       std::make_move_iterator(end));
  from->erase(from->begin(), end);
  return front;
}

bool HasNan(const std::array<float, 256>& log_probs) {
  return std::any_of(log_probs.begin(), log_probs.end(),
                     [](float value) { return std::isnan(value); });
}

}  // namespace

absl::StatusOr<std::unique_ptr<GenerateJob>> GenerateJob::Create(
    const SymbolMap* symbols, absl::string_view prompt,
    const GenerateOptions& options, GenerateSink* sink,
    std::function<absl::Time()> now) {
  SPANLM_RETURN_IF_ERROR(CheckSampling(options.sampling));
  if (!symbols->is_identity()) {
    std::vector<uint16_t> ignored;
    const absl::Status status = symbols->Encode(prompt, &ignored);
    if (!status.ok()) {
      return FieldError("prompt", status.message(), kReasonFieldInvalid);
    }
  }
  return std::unique_ptr<GenerateJob>(
      new GenerateJob(symbols, prompt, options, sink, std::move(now)));
}

GenerateJob::GenerateJob(const SymbolMap* symbols, absl::string_view prompt,
                         const GenerateOptions& options, GenerateSink* sink,
                         std::function<absl::Time()> now)
    : symbols_(symbols),
      prompt_(prompt),
      options_(options),
      sink_(sink),
      now_(std::move(now)),
      end_time_(now_() + options.max_duration),
      stops_(options.stops) {
  const size_t window =
      static_cast<size_t>(options.sampling.repetition_window_bytes);
  const size_t skipped = prompt.size() - std::min(prompt.size(), window);
  for (char c : prompt.substr(skipped)) Remember(static_cast<uint8_t>(c));
}

int64_t GenerateJob::held_bytes() const {
  size_t bytes = sizeof(*this) + prompt_.size() + recent_.capacity();
  for (const std::string& stop : options_.stops) {
    bytes += sizeof(stop) + stop.capacity();
  }
  return static_cast<int64_t>(bytes) + stops_.held_bytes();
}

Work GenerateJob::Ready() {
  if (!done() && now_() >= end_time_) {
    HandOver(pending_.bytes.size());
    Finish(FinishReason::kMaxDuration);
  }
  if (done()) return {};
  const int64_t prompt_left =
      static_cast<int64_t>(prompt_.size()) - prompt_read_;
  if (prompt_left > 0) return {Phase::kPrefill, prompt_left};
  if (!next_byte_.has_value()) {  // an empty prompt: nothing to read first
    const std::array<float, 256> log_probs = StartLogProbs();
    Take(log_probs, SampleByte(log_probs, {}, options_.sampling, 0));
  }
  return {Phase::kDecode, !done() && sink_->has_room() ? 1 : 0,
          NewlyGenerated()};
}

std::array<float, 256> GenerateJob::StartLogProbs() const {
  std::array<float, 256> log_probs = symbols_->ByteLogProbs({});
  if (symbols_->is_identity()) return log_probs;
  std::vector<uint16_t> ignored;
  for (int i = 0; i < 256; ++i) {
    const char byte = static_cast<char>(i);
    if (!symbols_->Encode(absl::string_view(&byte, 1), &ignored).ok()) {
      log_probs[i] = -std::numeric_limits<float>::infinity();
    }
  }
  return log_probs;
}

absl::StatusOr<Chunk> GenerateJob::Next(int64_t max_symbols) {
  if (next_byte_.has_value()) {
    const char byte = static_cast<char>(*next_byte_);
    SPANLM_RETURN_IF_ERROR(
        symbols_->Encode(absl::string_view(&byte, 1), &chunk_));
  } else {
    SPANLM_RETURN_IF_ERROR(
        symbols_->Encode(prompt_.substr(static_cast<size_t>(prompt_read_),
                                        static_cast<size_t>(max_symbols)),
                         &chunk_));
  }
  return Chunk{chunk_, Want::kNothing};
}

absl::StatusOr<ByteCounts> GenerateJob::Consume(const SequenceResult& /*none*/,
                                                const SpanCache& cache) {
  ByteCounts counts;
  if (!next_byte_.has_value()) {
    counts.read = static_cast<int64_t>(chunk_.size());
    prompt_read_ += counts.read;
    summary_.usage.read += counts.read;
    if (prompt_read_ < static_cast<int64_t>(prompt_.size())) return counts;
  }
  SPANLM_RETURN_IF_ERROR(Draw(symbols_->ByteLogProbs(cache.last_log_probs())));
  counts.generated = NewlyGenerated();
  return counts;
}

int64_t GenerateJob::NewlyGenerated() {
  return summary_.usage.generated -
         std::exchange(counted_, summary_.usage.generated);
}

absl::Status GenerateJob::Draw(const std::array<float, 256>& log_probs) {
  const int64_t position =
      static_cast<int64_t>(prompt_.size()) + summary_.usage.generated;
  if (HasNan(log_probs) || !std::isfinite(log_probs[ArgMax(log_probs)])) {
    return WithReason(
        absl::InternalError(absl::StrCat("byte at position ", position,
                                         ": the distribution is not finite")),
        kReasonNan);
  }
  const absl::Span<const uint8_t> recent(
      reinterpret_cast<const uint8_t*>(recent_.data()), recent_.size());
  Take(log_probs, SampleByte(log_probs, recent, options_.sampling, position));
  return absl::OkStatus();
}

void GenerateJob::Take(const std::array<float, 256>& log_probs,
                       SampledByte sampled) {
  next_byte_ = sampled.byte;
  ++summary_.usage.generated;
  Remember(sampled.byte);
  pending_.bytes.push_back(static_cast<char>(sampled.byte));
  if (options_.log_probs) {
    pending_.log_probs.push_back(log_probs[sampled.byte]);
  }
  if (options_.sampling_log_probs) {
    pending_.sampling_log_probs.push_back(sampled.sampling_log_prob);
  }
  if (options_.top_count > 0) {
    pending_.tops.push_back(RankBytes(log_probs, options_.top_count));
  }
  const int stop = stops_.Push(sampled.byte);
  if (stop >= 0) {
    summary_.stop_sequence = options_.stops[static_cast<size_t>(stop)];
    const size_t dropped =
        options_.include_stop ? 0 : summary_.stop_sequence.size();
    HandOver(pending_.bytes.size() - dropped);
    Finish(FinishReason::kStopSequence);
  } else if (summary_.usage.generated >= options_.max_bytes) {
    HandOver(pending_.bytes.size());
    Finish(FinishReason::kMaxBytes);
  } else {
    HandOver(pending_.bytes.size() - static_cast<size_t>(stops_.held()));
  }
}

void GenerateJob::Remember(uint8_t byte) {
  if (options_.sampling.repetition_penalty == 1) return;
  const size_t window =
      static_cast<size_t>(options_.sampling.repetition_window_bytes);
  // Twice the window before it is cut, so that a byte moves about once.
  if (recent_.size() >= 2 * window) {
    recent_.erase(0, recent_.size() - window);
  }
  recent_.push_back(static_cast<char>(byte));
}

void GenerateJob::HandOver(size_t count) {
  if (count == 0) return;
  GeneratedBytes ready;
  ready.bytes = pending_.bytes.substr(0, count);
  pending_.bytes.erase(0, count);
  ready.position = static_cast<int64_t>(prompt_.size()) +
                   summary_.usage.generated -
                   static_cast<int64_t>(pending_.bytes.size());
  ready.log_probs = TakeFront(&pending_.log_probs, count);
  ready.sampling_log_probs = TakeFront(&pending_.sampling_log_probs, count);
  ready.tops = TakeFront(&pending_.tops, count);
  sink_->OnBytes(std::move(ready));
}

void GenerateJob::End(const absl::Status& status, const RequestTiming& timing) {
  sink_->OnEnd(status, summary_, timing);
}

}  // namespace spanlm
