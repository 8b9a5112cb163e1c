// SPDX-License-Identifier: Apache-2.0
#include "train/process_group.h"

#include <ATen/Functions.h>

#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"
#include "tests/train/thread_group.h"

namespace spanlm {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(ProcessGroupTest, WithoutVariablesAProcessIsAlone) {
  ASSERT_OK_AND_ASSIGN(const auto group, ProcessGroup::FromEnvironment("cpu"));
  const at::Tensor ones = at::ones({3});

  group->Sum(ones);

  EXPECT_EQ(group->size(), 1);
  EXPECT_TRUE(group->is_first());
  EXPECT_TRUE(group->device().is_cpu());
  EXPECT_TRUE(ones.eq(1).all().item<bool>());
}

TEST(ProcessGroupTest, SaysWhyThereIsNoDevice) {
  EXPECT_THAT(
      ProcessGroup::FromEnvironment("cuda"),
      StatusIs(absl::StatusCode::kInvalidArgument,
               AllOf(HasSubstr("--device is \"cuda\", but "),
                     HasSubstr("built without CUDA"), HasSubstr("want cpu"))));
}

TEST(ProcessGroupTest, TheOthersMeetWhileTheFirstWorks) {
  std::mutex mutex;
  std::condition_variable changed;
  int worked = 0;
  bool met = false;
  std::vector<absl::Status> statuses(2);
  // Counts the meetings of the second process.
  class CountingGroup : public ThreadGroup {
   public:
    CountingGroup(ThreadMeeting* meeting, std::function<void()> on_meeting)
        : ThreadGroup(meeting, 1), on_meeting_(std::move(on_meeting)) {}
    std::function<void()> StartSum(const at::Tensor& tensor) override {
      return [this, tensor] {
        ThreadGroup::StartSum(tensor)();
        on_meeting_();
      };
    }

   private:
    const std::function<void()> on_meeting_;
  };
  // Works until the other one has met it.
  const auto work = [&]() -> absl::Status {
    std::unique_lock<std::mutex> lock(mutex);
    ++worked;
    changed.wait(lock, [&] { return met; });
    return absl::OkStatus();
  };
  ThreadMeeting meeting(2);
  std::thread second([&] {
    CountingGroup group(&meeting, [&] {
      const std::lock_guard<std::mutex> lock(mutex);
      met = true;
      changed.notify_all();
    });
    statuses[1] = group.RunInFirst(work);
  });
  ThreadGroup first(&meeting, 0);
  statuses[0] = first.RunInFirst(work);
  second.join();

  EXPECT_EQ(worked, 1);
  EXPECT_OK(statuses[0]);
  EXPECT_OK(statuses[1]);
}

TEST(ProcessGroupTest, WhatFailsInTheFirstEndsAll) {
  std::vector<absl::Status> statuses(3);
  RunAsGroup(3, [&](ProcessGroup* group) {
    statuses[group->rank()] = group->RunInFirst(
        [] { return absl::UnavailableError("no space left"); });
  });

  EXPECT_THAT(statuses[0],
              StatusIs(absl::StatusCode::kUnavailable, "no space"));
  for (const int rank : {1, 2}) {
    EXPECT_THAT(statuses[rank],
                StatusIs(absl::StatusCode::kInternal, "first process"));
  }
}

}  // namespace
}  // namespace spanlm
