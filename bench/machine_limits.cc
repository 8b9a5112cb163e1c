// SPDX-License-Identifier: Apache-2.0
#include "bench/machine_limits.h"

#include <chrono>
#include <vector>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "bench/machine_limits.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace spanlm::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
constexpr int kChains = 10;

// Enough independent sums to hide the latency of one.
float SumOf(const float* floats, int64_t size) {
  const hn::ScalableTag<float> d;
  const auto step = static_cast<int64_t>(hn::Lanes(d));
  auto a = hn::Zero(d);
  auto b = a;
  auto c = a;
  auto e = a;
  for (int64_t i = 0; i + 4 * step <= size; i += 4 * step) {
    a = hn::Add(a, hn::LoadU(d, floats + i));
    b = hn::Add(b, hn::LoadU(d, floats + i + step));
    c = hn::Add(c, hn::LoadU(d, floats + i + 2 * step));
    e = hn::Add(e, hn::LoadU(d, floats + i + 3 * step));
  }
  return hn::GetLane(hn::SumOfLanes(d, hn::Add(hn::Add(a, b), hn::Add(c, e))));
}

// Returns the operations done; *sink keeps them from being left out. The chains
// have names of their own: an array of them would be kept in memory.
double Multiply(int64_t rounds, float* sink) {
  const hn::ScalableTag<float> d;
  const auto factor = hn::Set(d, 0.999F);
  auto s0 = hn::Set(d, 0.0F), s1 = hn::Set(d, 1.0F), s2 = hn::Set(d, 2.0F);
  auto s3 = hn::Set(d, 3.0F), s4 = hn::Set(d, 4.0F), s5 = hn::Set(d, 5.0F);
  auto s6 = hn::Set(d, 6.0F), s7 = hn::Set(d, 7.0F), s8 = hn::Set(d, 8.0F);
  auto s9 = hn::Set(d, 9.0F);
  for (int64_t n = 0; n < rounds; ++n) {
    s0 = hn::MulAdd(s0, factor, factor);
    s1 = hn::MulAdd(s1, factor, factor);
    s2 = hn::MulAdd(s2, factor, factor);
    s3 = hn::MulAdd(s3, factor, factor);
    s4 = hn::MulAdd(s4, factor, factor);
    s5 = hn::MulAdd(s5, factor, factor);
    s6 = hn::MulAdd(s6, factor, factor);
    s7 = hn::MulAdd(s7, factor, factor);
    s8 = hn::MulAdd(s8, factor, factor);
    s9 = hn::MulAdd(s9, factor, factor);
  }
  const auto first = hn::Add(hn::Add(s0, s1), hn::Add(s2, s3));
  const auto second = hn::Add(hn::Add(s4, s5), hn::Add(s6, s7));
  *sink += hn::GetLane(hn::Add(hn::Add(first, second), hn::Add(s8, s9)));
  return 2.0 * kChains * static_cast<double>(rounds) *
         static_cast<double>(hn::Lanes(d));
}

}  // namespace spanlm::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace spanlm {
namespace {

HWY_EXPORT(SumOf);
HWY_EXPORT(Multiply);

double Now() {
  return std::chrono::duration<double>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

// A line of its own for each thread's result: sharing one costs half the speed.
struct alignas(64) Sink {
  float value = 0;
  double work = 0;
};

// Calls `run` on every thread until the time is over. Work a second.
template <typename Run>
double Rate(double seconds, WorkerTeam* team, const Run& run) {
  std::vector<Sink> sinks(static_cast<size_t>(team->threads()));
  const double begin = Now();
  double work = 0;
  while (Now() - begin < seconds) {
    team->Run(team->threads(), 1, [&](int thread, int64_t first, int64_t last) {
      for (int64_t i = first; i < last; ++i) {
        sinks[thread].work += run(i, &sinks[thread].value);
      }
      return static_cast<const char*>(nullptr);
    });
  }
  const double elapsed = Now() - begin;
  volatile float keep = 0;
  for (const Sink& sink : sinks) {
    work += sink.work;
    keep = keep + sink.value;
  }
  return work / elapsed;
}

}  // namespace

double ReadBandwidth(const float* floats, int64_t size, double seconds,
                     WorkerTeam* team) {
  const int64_t part = size / team->threads();
  return Rate(seconds, team, [&](int64_t i, float* sink) {
    *sink += HWY_DYNAMIC_DISPATCH(SumOf)(floats + i * part, part);
    return static_cast<double>(part) * sizeof(float);
  });
}

double PeakFlops(double seconds, WorkerTeam* team) {
  constexpr int64_t kRounds = 2000000;
  return Rate(seconds, team, [&](int64_t /*i*/, float* sink) {
    return HWY_DYNAMIC_DISPATCH(Multiply)(kRounds, sink);
  });
}

}  // namespace spanlm
#endif
