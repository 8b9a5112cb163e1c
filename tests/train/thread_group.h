// SPDX-License-Identifier: Apache-2.0
// The processes of a job as threads of a test.
#pragma once

#include <ATen/Functions.h>
#include <ATen/core/grad_mode.h>

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "train/process_group.h"

namespace spanlm {

// Where the threads meet.
class ThreadMeeting {
 public:
  explicit ThreadMeeting(int size) : tensors_(size) {}

  int size() const { return static_cast<int>(tensors_.size()); }
  // What all of them brought, by rank, once all of them are here.
  std::vector<std::vector<at::Tensor>> Meet(
      int rank, const std::vector<at::Tensor>& tensors) {
    std::unique_lock<std::mutex> lock(mutex_);
    tensors_[rank].clear();
    for (const at::Tensor& each : tensors) {
      tensors_[rank].push_back(each.detach().clone());
    }
    Wait(&lock);
    std::vector<std::vector<at::Tensor>> all = tensors_;
    Wait(&lock);  // nobody brings the next before all have read
    return all;
  }

 private:
  void Wait(std::unique_lock<std::mutex>* lock) {
    const int64_t round = round_;
    if (++here_ == size()) {
      here_ = 0;
      ++round_;
      changed_.notify_all();
      return;
    }
    changed_.wait(*lock, [&] { return round_ != round; });
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::vector<at::Tensor>> tensors_;
  int here_ = 0;
  int64_t round_ = 0;
};

// One thread's. The meeting is lent.
class ThreadGroup : public ProcessGroup {
 public:
  ThreadGroup(ThreadMeeting* meeting, int rank)
      : ProcessGroup(at::kCPU), meeting_(meeting), rank_(rank) {}

  int rank() const override { return rank_; }
  int size() const override { return meeting_->size(); }

  // Met by who waits: all of them start and wait in one order.
  std::function<void()> StartSum(const at::Tensor& tensor) override {
    return [this, tensor] {
      at::NoGradGuard no_grad;
      const auto all = meeting_->Meet(rank_, {tensor});
      at::Tensor sum = all[0][0].clone();
      for (size_t rank = 1; rank < all.size(); ++rank) sum.add_(all[rank][0]);
      at::Tensor(tensor).copy_(sum);
    };
  }
  void TakeFirst(const std::vector<at::Tensor>& tensors) override {
    at::NoGradGuard no_grad;
    const auto all = meeting_->Meet(rank_, tensors);
    for (size_t i = 0; i < tensors.size(); ++i) {
      at::Tensor(tensors[i]).copy_(all[0][i]);
    }
  }
  at::Tensor Stack(const at::Tensor& tensor) override {
    std::vector<at::Tensor> rows;
    for (const auto& each : meeting_->Meet(rank_, {tensor})) {
      rows.push_back(each[0]);
    }
    return at::cat(rows, 0);
  }

 private:
  ThreadMeeting* const meeting_;
  const int rank_;
};

// Runs body(group) in `size` threads and waits for all of them.
inline void RunAsGroup(int size,
                       const std::function<void(ProcessGroup*)>& body) {
  ThreadMeeting meeting(size);
  std::vector<std::thread> threads;
  for (int rank = 0; rank < size; ++rank) {
    threads.emplace_back([&, rank] {
      ThreadGroup group(&meeting, rank);
      body(&group);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace spanlm
