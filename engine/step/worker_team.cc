// SPDX-License-Identifier: Apache-2.0
#include "engine/step/worker_team.h"

#include <sched.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <string>

#include "absl/strings/numbers.h"
#include "base/check.h"

namespace spanlm {
namespace {

// Looks at the flag before sleeping: longer than the gap between two stages of
// a step, shorter than the gap between two steps.
constexpr int kSpins = 4000;

void Pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#else
  std::atomic_signal_fence(std::memory_order_seq_cst);
#endif
}

template <typename Ready>
bool SpinUntil(const Ready& ready) {
  for (int i = 0; i < kSpins; ++i) {
    if (ready()) return true;
    Pause();
  }
  return false;
}

}  // namespace

WorkerTeam::WorkerTeam(int threads) : threads_(threads) {
  SPANLM_CHECK(threads >= 1);
  workers_.reserve(static_cast<size_t>(threads - 1));
  for (int i = 1; i < threads; ++i) {
    workers_.emplace_back([this, i] { WorkerMain(i); });
  }
}

WorkerTeam::~WorkerTeam() {
  {
    MutexLock lock(&mutex_);
    stop_.store(true);
    stage_begins_.NotifyAll();
  }
  for (std::thread& worker : workers_) worker.join();
}

const char* WorkerTeam::Run(int64_t tasks, int64_t grain, Work work) {
  if (tasks <= 0) return nullptr;
  // Pieces must fit their half of `left_`.
  constexpr int64_t kMostPieces = int64_t{1} << 31;
  grain = std::max(grain, (tasks + kMostPieces - 1) / kMostPieces);
  if (threads_ == 1 || tasks <= grain) return work(0, 0, tasks);
  const int64_t pieces = (tasks + grain - 1) / grain;
  tasks_ = tasks;
  grain_ = grain;
  work_ = &work;
  error_.store(nullptr);
  undone_.store(pieces);
  const auto stage = static_cast<uint32_t>(left_.load() >> 32) + 1;
  left_.store(uint64_t{stage} << 32 | static_cast<uint64_t>(pieces));
  // Sequentially consistent with AwaitStage: a worker either sees the new
  // stage or is seen here as a sleeper.
  if (sleepers_.load() > 0) {
    MutexLock lock(&mutex_);
    stage_begins_.NotifyAll();
  }
  DoPieces(0, stage);
  AwaitPieces();
  return error_.load();
}

bool WorkerTeam::TakePiece(uint32_t stage, int64_t* piece) {
  uint64_t left = left_.load();
  do {
    const auto count = static_cast<uint32_t>(left);
    if (static_cast<uint32_t>(left >> 32) != stage || count == 0) return false;
    *piece = count;
  } while (!left_.compare_exchange_weak(left, left - 1));
  return true;
}

void WorkerTeam::DoPieces(int thread, uint32_t stage) {
  int64_t piece = 0;
  while (TakePiece(stage, &piece)) {
    // The count falls, the tasks rise.
    const int64_t pieces = (tasks_ + grain_ - 1) / grain_;
    const int64_t begin = (pieces - piece) * grain_;
    if (error_.load() == nullptr) {
      const char* error =
          (*work_)(thread, begin, std::min(tasks_, begin + grain_));
      if (error != nullptr) error_.store(error);
    }
    if (undone_.fetch_sub(1) == 1 && caller_sleeps_.load()) {
      MutexLock lock(&mutex_);
      stage_ends_.NotifyOne();
    }
  }
}

void WorkerTeam::WorkerMain(int thread) {
  uint32_t stage = 0;
  while (true) {
    stage = AwaitStage(stage);
    if (stop_.load()) return;
    DoPieces(thread, stage);
  }
}

// Returns the number of a stage other than `last`, when there is one, or of any
// stage when the team ends.
uint32_t WorkerTeam::AwaitStage(uint32_t last) {
  uint32_t stage = last;
  const auto ready = [&] {
    stage = static_cast<uint32_t>(left_.load() >> 32);
    return stage != last || stop_.load();
  };
  if (SpinUntil(ready)) return stage;
  MutexLock lock(&mutex_);
  sleepers_.fetch_add(1);
  while (!ready()) stage_begins_.Wait(&mutex_);
  sleepers_.fetch_sub(1);
  return stage;
}

void WorkerTeam::AwaitPieces() {
  const auto ready = [&] { return undone_.load() == 0; };
  if (SpinUntil(ready)) return;
  MutexLock lock(&mutex_);
  caller_sleeps_.store(true);
  while (!ready()) stage_ends_.Wait(&mutex_);
  caller_sleeps_.store(false);
}

namespace {

// CPUs' worth of time that the control group grants; 0: no bound known.
double QuotaCpus() {
  std::string quota;
  std::string period;
  std::ifstream version2("/sys/fs/cgroup/cpu.max");
  if (!(version2 >> quota >> period)) {
    std::ifstream("/sys/fs/cgroup/cpu/cpu.cfs_quota_us") >> quota;
    std::ifstream("/sys/fs/cgroup/cpu/cpu.cfs_period_us") >> period;
  }
  double quota_us = 0;
  double period_us = 0;
  if (!absl::SimpleAtod(quota, &quota_us) || quota_us <= 0 ||
      !absl::SimpleAtod(period, &period_us) || period_us <= 0) {
    return 0;
  }
  return quota_us / period_us;
}

}  // namespace

int AllowedCpuCount() {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  int count = sched_getaffinity(0, sizeof(allowed), &allowed) == 0
                  ? CPU_COUNT(&allowed)
                  : static_cast<int>(std::thread::hardware_concurrency());
  const double quota = QuotaCpus();
  if (quota > 0) count = std::min(count, static_cast<int>(std::ceil(quota)));
  return std::max(count, 1);
}

}  // namespace spanlm
