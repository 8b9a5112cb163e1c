// SPDX-License-Identifier: Apache-2.0
#include "server/scheduler/request_queue.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/jobs/reason.h"

namespace spanlm {

absl::Status RequestQueue::Add(Request* request) {
  if (request_count_ >= max_requests_) {
    return WithReason(absl::ResourceExhaustedError(absl::StrCat(
                          request_count_, " requests are waiting, at most ",
                          max_requests_, " may")),
                      kReasonQueueFull);
  }
  int64_t bytes = 0;
  for (const auto& job : request->waiting) bytes += job->held_bytes();
  if (bytes > max_bytes_ - bytes_) {
    return WithReason(absl::ResourceExhaustedError(absl::StrCat(
                          bytes_, " bytes are waiting; with ", bytes,
                          " more they would be over ", max_bytes_)),
                      kReasonQueueBytes);
  }
  bytes_ += bytes;
  ++request_count_;
  turns_[static_cast<size_t>(request->terms.priority)].push_back(request);
  return absl::OkStatus();
}

std::optional<RequestQueue::Turn> RequestQueue::Take(Priority lowest) {
  for (size_t i = 0; i <= static_cast<size_t>(lowest); ++i) {
    std::deque<Request*>& turns = turns_[i];
    if (turns.empty()) continue;
    Request* const request = turns.front();
    turns.pop_front();
    Turn turn{request, std::move(request->waiting.front())};
    request->waiting.pop_front();
    bytes_ -= turn.job->held_bytes();
    if (request->waiting.empty()) {
      --request_count_;
    } else {
      turns.push_back(request);
    }
    return turn;
  }
  return std::nullopt;
}

void RequestQueue::PutBack(Turn turn) {
  std::deque<Request*>& turns =
      turns_[static_cast<size_t>(turn.request->terms.priority)];
  if (turn.request->waiting.empty()) {
    ++request_count_;
  } else {
    turns.erase(std::find(turns.begin(), turns.end(), turn.request));
  }
  turns.push_front(turn.request);
  bytes_ += turn.job->held_bytes();
  turn.request->waiting.push_front(std::move(turn.job));
}

std::vector<std::unique_ptr<Job>> RequestQueue::Remove(Request* request) {
  if (request->waiting.empty()) return {};
  std::deque<Request*>& turns =
      turns_[static_cast<size_t>(request->terms.priority)];
  turns.erase(std::find(turns.begin(), turns.end(), request));
  --request_count_;
  std::vector<std::unique_ptr<Job>> jobs;
  for (std::unique_ptr<Job>& job : request->waiting) {
    bytes_ -= job->held_bytes();
    jobs.push_back(std::move(job));
  }
  request->waiting.clear();
  return jobs;
}

}  // namespace spanlm
