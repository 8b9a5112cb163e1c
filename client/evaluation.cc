// SPDX-License-Identifier: Apache-2.0
#include "client/evaluation.h"

#include <algorithm>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/mutex.h"
#include "base/status_macros.h"
#include "client/resume_file.h"

namespace spanlm {
namespace {

absl::Status CannotMerge(absl::string_view what, absl::string_view first,
                         absl::string_view other) {
  return absl::FailedPreconditionError(
      absl::StrCat("shards cannot be added: ", what, " is ", first,
                   " in one and ", other, " in another"));
}

absl::Status CheckSame(const v1::EvaluationResult& first,
                       const v1::EvaluationResult& other) {
  if (first.model_digest() != other.model_digest()) {
    return CannotMerge("the model's digest", first.model_digest(),
                       other.model_digest());
  }
  if (first.numerics() != other.numerics()) {
    return CannotMerge("the numerics", first.numerics(), other.numerics());
  }
  if (first.protocol() != other.protocol()) {
    return CannotMerge("the protocol",
                       v1::EvaluationProtocol_Name(first.protocol()),
                       v1::EvaluationProtocol_Name(other.protocol()));
  }
  return absl::OkStatus();
}

}  // namespace

std::vector<EvaluationShard> SplitRange(int64_t begin, int64_t end,
                                        int32_t count) {
  std::vector<EvaluationShard> shards;
  const int64_t length = end - begin;
  int64_t at = begin;
  for (int32_t i = 1; i <= count; ++i) {
    // length / count * i would lose the remainder, length * i might overflow.
    int64_t next = begin + length / count * i + length % count * i / count;
    if (i < count) next = std::min(end, next / kShardGrid * kShardGrid);
    if (next <= at && !(i == count && shards.empty())) continue;
    EvaluationShard& shard = shards.emplace_back();
    shard.begin = at;
    shard.end = next;
    at = next;
  }
  return shards;
}

absl::StatusOr<EvaluationTotal> MergeResults(
    absl::Span<const v1::EvaluationResult> results) {
  if (results.empty()) {
    return absl::FailedPreconditionError("there are no shards to add");
  }
  const v1::EvaluationResult& first = results.front();
  EvaluationTotal total;
  total.begin = first.range().begin();
  total.end = total.begin;
  total.model_version = first.model_version();
  total.model_digest = first.model_digest();
  total.numerics = first.numerics();
  total.protocol = first.protocol();
  for (const v1::EvaluationResult& result : results) {
    SPANLM_RETURN_IF_ERROR(CheckSame(first, result));
    if (result.range().begin() != total.end) {
      return CannotMerge("a boundary", absl::StrCat(total.end),
                         absl::StrCat(result.range().begin()));
    }
    total.end = result.range().end();
    total.byte_count += result.byte_count();
    total.bits += BitsTotal::FromHighLow(result.accumulator().high(),
                                         result.accumulator().low());
  }
  return total;
}

// What the shards' threads share. Thread-safe.
class Evaluation::SharedState {
 public:
  SharedState(const EvaluationOrder& order, const Evaluation::Options& options,
              std::vector<EvaluationShard> shards)
      : order_(order), options_(options), shards_(std::move(shards)) {}

  v1::EvaluateRequest Request(size_t index) {
    MutexLock lock(&mutex_);
    const EvaluationShard& shard = shards_[index];
    v1::EvaluateRequest request;
    request.set_model(order_.model);
    request.set_dataset(order_.dataset);
    request.set_protocol(order_.protocol);
    request.mutable_range()->set_begin(shard.begin);
    if (shard.end >= 0) request.mutable_range()->set_end(shard.end);
    request.mutable_progress_interval()->set_seconds(1);
    request.set_resume_token(shard.resume_token);
    return request;
  }

  absl::Status OnProgress(size_t index,
                          const v1::EvaluationProgress& progress) {
    MutexLock lock(&mutex_);
    // One shard's failure is the evaluation's: the others stop here.
    SPANLM_RETURN_IF_ERROR(failure_);
    EvaluationShard& shard = shards_[index];
    Advance(&shard, progress.scored_bytes());
    shard.total_bytes = progress.total_bytes();
    shard.bits = BitsTotal::FromHighLow(progress.accumulator().high(),
                                        progress.accumulator().low());
    if (!progress.resume_token().empty()) {
      shard.resume_token = progress.resume_token();
    }
    return Publish();
  }

  void OnEnd(size_t index, absl::StatusOr<v1::EvaluationResult> result) {
    MutexLock lock(&mutex_);
    if (!result.ok()) {
      if (failure_.ok()) failure_ = result.status();
      return;
    }
    EvaluationShard& shard = shards_[index];
    Advance(&shard, result->byte_count());
    shard.total_bytes = result->byte_count();
    shard.bits = BitsTotal::FromHighLow(result->accumulator().high(),
                                        result->accumulator().low());
    shard.result = *std::move(result);
    shard.has_result = true;
    const absl::Status published = Publish();
    if (failure_.ok()) failure_ = published;
  }

  bool HasResult(size_t index) {
    MutexLock lock(&mutex_);
    return shards_[index].has_result;
  }

  absl::StatusOr<EvaluationTotal> Total() {
    MutexLock lock(&mutex_);
    SPANLM_RETURN_IF_ERROR(failure_);
    std::vector<v1::EvaluationResult> results;
    for (const EvaluationShard& shard : shards_) {
      results.push_back(shard.result);
    }
    return MergeResults(results);
  }

  int64_t fresh_bytes() {
    MutexLock lock(&mutex_);
    return fresh_bytes_;
  }

 private:
  void Advance(EvaluationShard* shard, int64_t scored_bytes)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    fresh_bytes_ += scored_bytes - shard->scored_bytes;
    shard->scored_bytes = scored_bytes;
  }

  absl::Status Publish() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (options_.on_progress) {
      Progress::State state;
      BitsTotal bits;
      state.total_bytes = 0;
      for (const EvaluationShard& shard : shards_) {
        state.done_bytes += shard.scored_bytes;
        state.total_bytes +=
            shard.end >= 0 ? shard.end - shard.begin : shard.total_bytes;
        bits += shard.bits;
      }
      if (state.done_bytes > 0) {
        state.bits_per_byte = bits.bits() / state.done_bytes;
      }
      options_.on_progress(state);
    }
    if (options_.resume_file.empty()) return absl::OkStatus();
    return WriteResumeFile(options_.resume_file, order_, shards_);
  }

  const EvaluationOrder& order_;
  const Evaluation::Options& options_;
  Mutex mutex_;
  std::vector<EvaluationShard> shards_ ABSL_GUARDED_BY(mutex_);
  absl::Status failure_ ABSL_GUARDED_BY(mutex_);
  int64_t fresh_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
};

Evaluation::Evaluation(EvaluationOrder order, std::vector<Client*> clients,
                       Options options)
    : order_(std::move(order)),
      clients_(std::move(clients)),
      options_(std::move(options)) {}

absl::StatusOr<EvaluationTotal> Evaluation::Run() {
  SPANLM_ASSIGN_OR_RETURN(std::vector<EvaluationShard> shards, Plan());
  if (!options_.resume_file.empty()) {  // before any work: it can be written
    SPANLM_RETURN_IF_ERROR(
        WriteResumeFile(options_.resume_file, order_, shards));
  }
  const size_t shard_count = shards.size();
  SharedState state(order_, options_, std::move(shards));
  std::vector<std::thread> threads;
  for (size_t i = 0; i < shard_count; ++i) {
    if (state.HasResult(i)) continue;
    threads.emplace_back([&, i] { state.OnEnd(i, RunShard(i, &state)); });
  }
  for (std::thread& thread : threads) thread.join();
  fresh_bytes_ = state.fresh_bytes();
  return state.Total();
}

absl::StatusOr<v1::EvaluationResult> Evaluation::RunShard(size_t index,
                                                          SharedState* state) {
  absl::StatusOr<v1::EvaluationResult> result;
  for (size_t i = 0; i < clients_.size(); ++i) {
    result = clients_[(index + i) % clients_.size()]->Evaluate(
        state->Request(index), [&](const v1::EvaluationProgress& progress) {
          return state->OnProgress(index, progress);
        });
    if (!absl::IsUnavailable(result.status())) break;
  }
  return result;
}

absl::StatusOr<std::vector<EvaluationShard>> Evaluation::Plan() {
  if (!options_.resume_file.empty()) {
    SPANLM_ASSIGN_OR_RETURN(std::vector<EvaluationShard> shards,
                            ReadResumeFile(options_.resume_file, order_));
    if (!shards.empty()) return shards;
  }
  int64_t end = order_.end;
  if (end < 0 && order_.shard_count > 1) {
    SPANLM_ASSIGN_OR_RETURN(end, DatasetSize());
    if (order_.begin > end) {
      return absl::OutOfRangeError(
          absl::StrCat("the range begins at ", order_.begin, ", but ",
                       order_.dataset, " has ", end, " bytes"));
    }
  }
  if (end < 0) {
    EvaluationShard whole;
    whole.begin = order_.begin;
    return std::vector<EvaluationShard>{whole};
  }
  return SplitRange(order_.begin, end, order_.shard_count);
}

absl::StatusOr<int64_t> Evaluation::DatasetSize() {
  absl::StatusOr<std::vector<v1::Dataset>> datasets;
  for (Client* client : clients_) {
    datasets = client->ListDatasets();
    if (!absl::IsUnavailable(datasets.status())) break;
  }
  SPANLM_RETURN_IF_ERROR(datasets.status());
  for (const v1::Dataset& dataset : *datasets) {
    if (dataset.name() == order_.dataset) return dataset.size_bytes();
  }
  return absl::NotFoundError(
      absl::StrCat("the server has no data set ", order_.dataset));
}

}  // namespace spanlm
