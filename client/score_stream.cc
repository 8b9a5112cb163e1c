// SPDX-License-Identifier: Apache-2.0
#include "client/score_stream.h"

#include <algorithm>
#include <thread>
#include <utility>

#include "base/status_macros.h"

namespace spanlm {
namespace {

// The server answers each 64 KiB, so this much never waits on a healthy server;
// with what a resumed stream has to send again it bounds what we keep.
constexpr int64_t kMaxUnansweredBytes = int64_t{8} << 20;
constexpr int64_t kResendBytes = int64_t{256} << 10;

}  // namespace

ScoreStreamCall::ScoreStreamCall(const v1::ScoreStreamRequest::Open& open,
                                 const ChunkReader& next_chunk,
                                 const OnAnswer& on_answer)
    : open_(open), next_chunk_(next_chunk), on_answer_(on_answer) {}

grpc::Status ScoreStreamCall::Attempt(v1::ScoringService::StubInterface* stub,
                                      grpc::ClientContext* context) {
  waiting_.clear();
  const auto stream = stub->ScoreStream(context);
  {
    MutexLock lock(&mutex_);
    reading_ = true;
  }
  // The server stops reading while its answers are not read: both directions
  // have to move at once.
  std::thread answers([&] { ReadAll(stream.get(), context); });
  const absl::Status write_status = WriteAll(stream.get());
  if (!write_status.ok()) context->TryCancel();
  answers.join();
  grpc::Status status = stream->Finish();
  if (local_status_.ok()) local_status_ = write_status;
  if (local_status_.ok() && status.ok()) local_status_ = HandOn();
  return status;
}

absl::Status ScoreStreamCall::WriteAll(Stream* stream) {
  v1::ScoreStreamRequest first;
  *first.mutable_open() = open_;
  std::string again;
  {
    MutexLock lock(&mutex_);
    first.mutable_open()->set_resume_token(token_);
    again = window_;
  }
  if (!stream->Write(first)) return absl::OkStatus();
  for (size_t at = 0; at < again.size(); at += kResendBytes) {
    if (!WriteChunk(stream, again.substr(at, kResendBytes))) {
      return absl::OkStatus();
    }
  }
  while (!document_ended_) {
    if (!WaitForRoom()) return absl::OkStatus();
    SPANLM_ASSIGN_OR_RETURN(std::string chunk, next_chunk_());
    document_ended_ = chunk.empty();
    if (document_ended_) break;
    {
      MutexLock lock(&mutex_);
      window_.append(chunk);
    }
    if (!WriteChunk(stream, std::move(chunk))) return absl::OkStatus();
  }
  v1::ScoreStreamRequest last;
  last.mutable_finish();
  stream->Write(last);
  stream->WritesDone();
  return absl::OkStatus();
}

bool ScoreStreamCall::WriteChunk(Stream* stream, std::string chunk) {
  v1::ScoreStreamRequest request;
  request.set_chunk(std::move(chunk));
  return stream->Write(request);
}

int64_t ScoreStreamCall::kept_position() {
  MutexLock lock(&mutex_);
  return window_begin_;
}

bool ScoreStreamCall::WaitForRoom() {
  MutexLock lock(&mutex_);
  while (reading_ &&
         window_begin_ + static_cast<int64_t>(window_.size()) - answered_ >=
             kMaxUnansweredBytes) {
    changed_.Wait(&mutex_);
  }
  return reading_;
}

void ScoreStreamCall::ReadAll(Stream* stream, grpc::ClientContext* context) {
  v1::ScoreStreamResponse answer;
  while (local_status_.ok() && stream->Read(&answer)) {
    local_status_ = TakeAnswer(std::move(answer));
    answer.Clear();
  }
  if (!local_status_.ok()) context->TryCancel();
  MutexLock lock(&mutex_);
  reading_ = false;
  changed_.NotifyAll();
}

absl::Status ScoreStreamCall::TakeAnswer(v1::ScoreStreamResponse answer) {
  const bool has_token = !answer.resume_token().empty();
  const std::string token = answer.resume_token();
  const int64_t position = answer.resume_position();
  {
    MutexLock lock(&mutex_);
    answered_ = answer.position();
    changed_.NotifyAll();
  }
  waiting_.push_back(std::move(answer));
  if (!has_token) return absl::OkStatus();
  {
    MutexLock lock(&mutex_);
    const int64_t done = position - window_begin_;
    if (done < 0 || done > static_cast<int64_t>(window_.size())) {
      return absl::InternalError(
          "the server's resume position is outside of what it was sent");
    }
    window_.erase(0, done);
    window_begin_ = position;
    token_ = token;
  }
  return HandOn();
}

absl::Status ScoreStreamCall::HandOn() {
  for (v1::ScoreStreamResponse& answer : waiting_) {
    SPANLM_RETURN_IF_ERROR(on_answer_(answer));
    last_ = std::move(answer);
  }
  waiting_.clear();
  return absl::OkStatus();
}

absl::StatusOr<v1::ScoreStreamResponse> ScoreStreamCall::Result() const {
  if (!last_.has_summary()) {
    return absl::InternalError("the stream ended without a summary");
  }
  return last_;
}

}  // namespace spanlm
