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

// Persistent threads with a barrier at the end of each stage: it waits for the
// stage's tasks, not for threads that had no part in it. Which thread does a
// task must not matter to its result. One thread at a time calls Run.
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
  bool TakePiece(uint32_t stage, int64_t* piece);
  void DoPieces(int thread, uint32_t stage);
  uint32_t AwaitStage(uint32_t last);
  void AwaitPieces();

  const int threads_;

  // One stage: read by whoever has taken a piece of it, and not written again
  // before all its pieces are done.
  int64_t tasks_ = 0;
  int64_t grain_ = 1;
  const Work* work_ = nullptr;

  // The stage's number in the high half, the pieces not yet taken in the low
  // half: a thread that comes late to a stage finds nothing to take of the next
  // one that it does not know.
  alignas(64) std::atomic<uint64_t> left_{0};
  alignas(64) std::atomic<int64_t> undone_{0};  // pieces
  std::atomic<const char*> error_{nullptr};
  std::atomic<bool> stop_{false};

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
