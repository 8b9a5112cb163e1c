// SPDX-License-Identifier: Apache-2.0
// A server that evaluates at a made-up cost.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/bits_total.h"
#include "base/mutex.h"
#include "tests/client/fake_server.h"

namespace spanlm {

inline constexpr int64_t kDatasetBytes = 10'000;

// A made-up cost that differs from byte to byte, so that a byte counted twice
// or left out shows in the sum.
inline BitsTotal CostOf(int64_t begin, int64_t end) {
  return BitsTotal((absl::int128(end) * end - absl::int128(begin) * begin) *
                   1'000'003);
}

inline void SetAccumulator(const BitsTotal& bits,
                           v1::Accumulator* accumulator) {
  accumulator->set_high(bits.high());
  accumulator->set_low(bits.low());
}

inline v1::EvaluationResult MakeResult(int64_t begin, int64_t end) {
  v1::EvaluationResult result;
  result.mutable_range()->set_begin(begin);
  result.mutable_range()->set_end(end);
  result.set_byte_count(end - begin);
  result.set_model_version("models/demo/versions/1");
  result.set_model_digest("d1");
  result.set_numerics("fp32/fp32/avx2/1");
  result.set_protocol(v1::EVALUATION_PROTOCOL_FULL_STREAM);
  SetAccumulator(CostOf(begin, end), result.mutable_accumulator());
  return result;
}

// A server whose evaluations cost CostOf. Thread-safe.
class EvaluationPeer {
 public:
  explicit EvaluationPeer(FakeServer* server) {
    server->on_evaluate = [this](const v1::EvaluateRequest& request,
                                 auto* writer) {
      return Serve(request, writer);
    };
    server->on_list_datasets = [](const auto&) {
      v1::ListDatasetsResponse page;
      page.add_datasets()->set_name("other");
      v1::Dataset* dataset = page.add_datasets();
      dataset->set_name("text");
      dataset->set_size_bytes(kDatasetBytes);
      return page;
    };
  }

  std::vector<std::pair<int64_t, int64_t>> ranges() {
    MutexLock lock(&mutex_);
    return ranges_;
  }
  std::vector<std::string> tokens() {
    MutexLock lock(&mutex_);
    return tokens_;
  }
  // Ranges that begin here fail after their first progress message.
  int64_t fail_at = -1;
  // The digest of ranges that begin after 0.
  std::string other_digest = "d1";

 private:
  grpc::Status Serve(const v1::EvaluateRequest& request,
                     grpc::ServerWriter<v1::EvaluateResponse>* writer) {
    const int64_t begin = request.range().begin();
    const int64_t end =
        request.range().has_end() ? request.range().end() : kDatasetBytes;
    {
      MutexLock lock(&mutex_);
      ranges_.emplace_back(begin, end);
      tokens_.push_back(request.resume_token());
    }
    const int64_t middle = (begin + end) / 2;
    v1::EvaluateResponse message;
    v1::EvaluationProgress* progress = message.mutable_progress();
    progress->set_scored_bytes(middle - begin);
    progress->set_total_bytes(end - begin);
    SetAccumulator(CostOf(begin, middle), progress->mutable_accumulator());
    progress->set_resume_token(absl::StrCat("at ", middle));
    writer->Write(message);
    if (begin == fail_at) {
      return ServerError(grpc::INTERNAL, "NAN", "not a number");
    }
    *message.mutable_result() = MakeResult(begin, end);
    if (begin > 0) message.mutable_result()->set_model_digest(other_digest);
    writer->Write(message);
    return grpc::Status::OK;
  }

  Mutex mutex_;
  std::vector<std::pair<int64_t, int64_t>> ranges_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::string> tokens_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace spanlm
