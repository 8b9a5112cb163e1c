// SPDX-License-Identifier: Apache-2.0
// Threads that share the tasks of one stage after the other.
#pragma once

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

#include "absl/functional/function_ref.h"
#include "base/mutex.h"

namespace spanlm {

// Persistent threads with a barrier at the end of each stage. Which thread does
// a task must not matter to its result. One thread at a time calls Run.
class WorkerTeam {
 public:
  // Does tasks [begin, end) on thread `thread`; nullptr or a static string.
  using Work =
      absl::FunctionRef<const char*(int thread, int64_t begin, int64_t end)>;

  // `threads` includes the caller of Run; at least 1.
  explicit WorkerTeam(int threads);
  ~WorkerTeam();
  WorkerTeam(const WorkerTeam&) = delete;
  WorkerTeam& operator=(const WorkerTeam&) = delete;

  int threads() const { return threads_; }

  // Calls `work` on pieces of `grain` tasks until [0, tasks) is done, and
  // returns when all is. The first error that is met is returned; tasks not yet
  // begun are then left out. Few tasks run on the caller's thread alone.
  const char* Run(int64_t tasks, int64_t grain, Work work);

 private:
  void WorkerMain(int thread);
  void TakeTasks(int thread);
  void AwaitStage(uint64_t stage);
  void AwaitWorkers();

  const int threads_;

  // One stage; written while no worker is in it.
  int64_t tasks_ = 0;
  int64_t grain_ = 1;
  const Work* work_ = nullptr;

  alignas(64) std::atomic<int64_t> next_{0};
  std::atomic<const char*> error_{nullptr};
  alignas(64) std::atomic<uint64_t> stage_{0};
  std::atomic<bool> stop_{false};
  alignas(64) std::atomic<int> working_{0};

  // Who waits longer than a moment sleeps.
  Mutex mutex_;
  CondVar stage_begins_;
  CondVar stage_ends_;
  std::atomic<int> sleepers_{0};
  std::atomic<bool> caller_sleeps_{false};

  std::vector<std::thread> workers_;  // last: start when all above is built
};

// CPUs that this process may use: its affinity mask, bounded by the CPU quota
// of its control group. At least 1.
int AllowedCpuCount();

}  // namespace spanlm
