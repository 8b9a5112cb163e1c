// SPDX-License-Identifier: Apache-2.0
#include "tests/engine/cuda/device_emulator.h"

#include <ucontext.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/check.h"

spanlm::EmulatedIndex threadIdx;
spanlm::EmulatedIndex blockIdx;

namespace spanlm {
namespace {

constexpr size_t kStackBytes = 64 * 1024;

struct Fiber {
  ucontext_t context;
  bool is_done = false;
  // Exchanges entered so far, and what was given in the last two of them: a
  // lane can be at most one exchange ahead of another.
  int64_t exchanges = 0;
  float given[2] = {};
};

// The block that runs; a launch at a time.
struct Block {
  ucontext_t scheduler;
  std::vector<Fiber> fibers;
  const std::function<void()>* kernel = nullptr;
  size_t current = 0;
};
Block* running = nullptr;

void RunFiber() {
  (*running->kernel)();
  running->fibers[running->current].is_done = true;
}

void Yield() {
  Fiber& fiber = running->fibers[running->current];
  SPANLM_CHECK(swapcontext(&fiber.context, &running->scheduler) == 0);
}

size_t FirstLane() {
  return running->current / kernels::kWarpThreads * kernels::kWarpThreads;
}

bool WarpHasReached(int64_t exchange) {
  const size_t first = FirstLane();
  for (size_t i = first; i < first + kernels::kWarpThreads; ++i) {
    if (running->fibers[i].exchanges < exchange) return false;
  }
  return true;
}

// Gives `value` to the warp and takes what `lane` gave.
float Exchange(float value, int lane) {
  Fiber& fiber = running->fibers[running->current];
  const int64_t exchange = ++fiber.exchanges;
  fiber.given[exchange % 2] = value;
  while (!WarpHasReached(exchange)) Yield();
  return running->fibers[FirstLane() + lane].given[exchange % 2];
}

void StartFiber(std::byte* stack, Block* block, Fiber* fiber) {
  SPANLM_CHECK(getcontext(&fiber->context) == 0);
  fiber->context.uc_stack.ss_sp = stack;
  fiber->context.uc_stack.ss_size = kStackBytes;
  fiber->context.uc_link = &block->scheduler;
  makecontext(&fiber->context, RunFiber, 0);
}

int64_t Progress(const Block& block) {
  int64_t progress = 0;
  for (const Fiber& fiber : block.fibers) {
    progress += fiber.exchanges + (fiber.is_done ? 1 : 0);
  }
  return progress;
}

// Resumes every fiber once. Returns whether one is left.
bool RunRound(Block* block) {
  bool is_left = false;
  for (size_t i = 0; i < block->fibers.size(); ++i) {
    Fiber& fiber = block->fibers[i];
    if (fiber.is_done) continue;
    block->current = i;
    threadIdx.x = static_cast<unsigned>(i);
    SPANLM_CHECK(swapcontext(&block->scheduler, &fiber.context) == 0);
    is_left = is_left || !fiber.is_done;
  }
  return is_left;
}

// `stacks` holds one for each thread.
void RunBlock(int32_t threads, const std::function<void()>& kernel,
              std::byte* stacks) {
  Block block;
  block.fibers.resize(static_cast<size_t>(threads));
  block.kernel = &kernel;
  running = &block;
  for (size_t i = 0; i < block.fibers.size(); ++i) {
    StartFiber(stacks + i * kStackBytes, &block, &block.fibers[i]);
  }
  for (int64_t before = -1; RunRound(&block);) {
    const int64_t progress = Progress(block);
    SPANLM_CHECK(progress != before);
    before = progress;
  }
  running = nullptr;
}

}  // namespace

void EmulateLaunch(const kernels::LaunchShape& shape,
                   const std::function<void()>& kernel) {
  // Not cleared: that would cost more than the kernels.
  const std::unique_ptr<std::byte[]> stacks(
      new std::byte[static_cast<size_t>(shape.threads) * kStackBytes]);
  for (int64_t i = 0; i < shape.blocks; ++i) {
    blockIdx.x = static_cast<unsigned>(i);
    RunBlock(shape.threads, kernel, stacks.get());
  }
}

}  // namespace spanlm

float __shfl_sync(unsigned /*mask*/, float value, int lane) {
  return spanlm::Exchange(value, lane);
}

float __shfl_xor_sync(unsigned /*mask*/, float value, int lane_mask) {
  const int lane =
      static_cast<int>(threadIdx.x) % spanlm::kernels::kWarpThreads;
  return spanlm::Exchange(value, lane ^ lane_mask);
}

void __syncwarp() { spanlm::Exchange(0, 0); }
