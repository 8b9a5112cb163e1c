// SPDX-License-Identifier: Apache-2.0
#include "server/scheduler/request_queue.h"

#include <random>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/jobs/reason.h"
#include "tests/support/status_matchers.h"

namespace spanlm {
namespace {

// Only waits.
class WaitingJob : public Job {
 public:
  explicit WaitingJob(int64_t bytes) : bytes_(bytes) {}
  int64_t held_bytes() const override { return bytes_; }
  bool done() const override { return false; }
  Work Ready() override { return {}; }
  absl::StatusOr<Chunk> Next(int64_t) override { return Chunk(); }
  absl::StatusOr<ByteCounts> Consume(const SequenceResult&,
                                     const SpanCache&) override {
    return ByteCounts();
  }
  void End(const absl::Status&, const RequestTiming&) override {}

 private:
  const int64_t bytes_;
};

Request NewRequest(int jobs, int64_t job_bytes,
                   Priority priority = Priority::kStandard) {
  Request request;
  request.terms.priority = priority;
  for (int i = 0; i < jobs; ++i) {
    request.waiting.push_back(std::make_unique<WaitingJob>(job_bytes));
  }
  return request;
}

TEST(RequestQueueTest, CountsRequestsNotJobs) {
  RequestQueue queue(2, 1000);
  Request one = NewRequest(5, 1), two = NewRequest(5, 1),
          three = NewRequest(1, 1);
  EXPECT_OK(queue.Add(&one));
  EXPECT_OK(queue.Add(&two));

  const absl::Status status = queue.Add(&three);

  EXPECT_THAT(status, StatusIs(absl::StatusCode::kResourceExhausted,
                               "2 requests are waiting, at most 2"));
  EXPECT_EQ(ReasonOf(status), kReasonQueueFull);
}

TEST(RequestQueueTest, TakesARequestWhollyOrNotAtAll) {
  RequestQueue queue(10, 100);
  Request one = NewRequest(3, 20), two = NewRequest(3, 20),
          three = NewRequest(2, 20);
  EXPECT_OK(queue.Add(&one));

  const absl::Status status = queue.Add(&two);

  EXPECT_THAT(status, StatusIs(absl::StatusCode::kResourceExhausted,
                               testing::HasSubstr("over 100")));
  EXPECT_EQ(ReasonOf(status), kReasonQueueBytes);
  EXPECT_EQ(queue.bytes(), 60);
  EXPECT_EQ(two.waiting.size(), 3u);
  EXPECT_OK(queue.Add(&three));  // exactly the bound
}

TEST(RequestQueueTest, GivesTheRequestsOfAPriorityTheirTurns) {
  RequestQueue queue(10, 100);
  Request one = NewRequest(3, 1), two = NewRequest(1, 1),
          three = NewRequest(2, 1);
  for (Request* request : {&one, &two, &three}) EXPECT_OK(queue.Add(request));

  std::vector<Request*> turns;
  while (std::optional<RequestQueue::Turn> turn =
             queue.Take(Priority::kBatch)) {
    turns.push_back(turn->request);
  }

  EXPECT_EQ(turns,
            (std::vector<Request*>{&one, &two, &three, &one, &three, &one}));
  EXPECT_TRUE(queue.empty());
  EXPECT_EQ(queue.bytes(), 0);
}

TEST(RequestQueueTest, HigherPrioritiesGoFirst) {
  RequestQueue queue(10, 100);
  Request batch = NewRequest(1, 1, Priority::kBatch),
          standard = NewRequest(1, 1, Priority::kStandard),
          interactive = NewRequest(1, 1, Priority::kInteractive);
  for (Request* request : {&batch, &standard, &interactive}) {
    EXPECT_OK(queue.Add(request));
  }

  EXPECT_EQ(queue.Take(Priority::kBatch)->request, &interactive);
  EXPECT_EQ(queue.Take(Priority::kBatch)->request, &standard);
  EXPECT_FALSE(queue.Take(Priority::kStandard).has_value());
  EXPECT_EQ(queue.Take(Priority::kBatch)->request, &batch);
}

TEST(RequestQueueTest, PutBackGivesTheTurnBack) {
  RequestQueue queue(10, 100);
  Request one = NewRequest(2, 7), two = NewRequest(1, 7);
  EXPECT_OK(queue.Add(&one));
  RequestQueue::Turn turn = *queue.Take(Priority::kBatch);
  EXPECT_OK(queue.Add(&two));  // comes between
  const Job* const job = turn.job.get();

  queue.PutBack(std::move(turn));

  EXPECT_EQ(queue.bytes(), 21);
  turn = *queue.Take(Priority::kBatch);
  EXPECT_EQ(turn.job.get(), job);
  queue.PutBack(std::move(turn));
  EXPECT_EQ(queue.Remove(&one).size(), 2u);
  EXPECT_EQ(queue.Take(Priority::kBatch)->request, &two);
  EXPECT_TRUE(queue.empty());
}

TEST(RequestQueueTest, RemoveLeavesTheOthers) {
  RequestQueue queue(2, 100);
  Request one = NewRequest(3, 10), two = NewRequest(1, 10),
          three = NewRequest(1, 10);
  EXPECT_OK(queue.Add(&one));
  EXPECT_OK(queue.Add(&two));

  EXPECT_EQ(queue.Remove(&one).size(), 3u);

  EXPECT_EQ(queue.bytes(), 10);
  EXPECT_OK(queue.Add(&three));
  EXPECT_EQ(queue.Remove(&one).size(), 0u);
  EXPECT_EQ(queue.Take(Priority::kBatch)->request, &two);
}

// Random commands against the plain sum over what is inside.
TEST(RequestQueueTest, CountsExactlyUnderRandomCommands) {
  std::mt19937 random(12);
  RequestQueue queue(6, 200);
  std::vector<std::unique_ptr<Request>> requests;
  for (int i = 0; i < 20000; ++i) {
    const uint32_t command = random() % 4;
    if (command == 0) {
      auto request = std::make_unique<Request>(
          NewRequest(1 + static_cast<int>(random() % 4),
                     static_cast<int64_t>(random() % 40),
                     static_cast<Priority>(random() % 3)));
      if (queue.Add(request.get()).ok()) requests.push_back(std::move(request));
    } else if (command == 1 && !requests.empty()) {
      const size_t index = random() % requests.size();
      queue.Remove(requests[index].get());
      requests.erase(requests.begin() + static_cast<int64_t>(index));
    } else {
      std::optional<RequestQueue::Turn> turn =
          queue.Take(static_cast<Priority>(random() % 3));
      if (turn.has_value() && command == 2) queue.PutBack(*std::move(turn));
    }
    int64_t bytes = 0;
    int waiting = 0;
    for (const auto& request : requests) {
      waiting += !request->waiting.empty();
      for (const auto& job : request->waiting) bytes += job->held_bytes();
    }
    ASSERT_EQ(queue.bytes(), bytes);
    ASSERT_LE(bytes, 200);
    ASSERT_LE(waiting, 6);
    ASSERT_EQ(queue.empty(), waiting == 0);
  }
}

}  // namespace
}  // namespace spanlm
