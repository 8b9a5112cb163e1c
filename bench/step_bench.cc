// SPDX-License-Identifier: Apache-2.0
// Bytes a second of decoding and scoring on the CPU, beside what the machine
// allows. Contenders take turns, so that a busy machine slows all of them; the
// table holds medians of the rounds and their spread.
//
//   spanlm_step_bench [threads] [rounds]
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/check.h"
#include "bench/machine_limits.h"
#include "engine/runtime/cpu_engine.h"
#include "tests/support/memory_model.h"

namespace spanlm {
namespace {

constexpr double kSeconds = 0.6;  // a contender's turn
constexpr int32_t kChunk = 512;
// Per byte of text: matrices and attention (docs/performance.md).
constexpr double kFlopsPerByte = 88e6;

double Now() {
  return std::chrono::duration<double>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

// Reaches of 12 layers of 8 heads, mean about 332 positions.
std::vector<float> SpansOf(const std::string& profile) {
  std::vector<float> reaches;
  for (int layer = 0; layer < 12; ++layer) {
    std::vector<float> heads(8, 332);
    if (profile == "skewed" && layer < 4) heads.assign(8, 64);
    if (profile == "skewed" && layer >= 4 && layer < 8) {
      heads = {512, 256, 96, 96, 96, 96, 96, 96};
    }
    if (profile == "skewed" && layer >= 8) {
      heads = {4096, 1024, 384, 128, 128, 128, 128, 128};
    }
    reaches.insert(reaches.end(), heads.begin(), heads.end());
  }
  for (float& reach : reaches) reach = (reach - 32) / 8192;
  return reaches;
}

std::unique_ptr<CpuEngine> NewEngine(const std::string& profile, int threads) {
  ModelFields fields;
  fields.n_layer = 12;
  fields.d_model = 512;
  fields.n_head = 8;
  fields.d_head = 64;
  fields.d_inner = 2048;
  fields.vocab_size = 256;
  fields.attn_span = 8192;
  const MemoryModel model = RandomModel(fields, SpansOf(profile), 1);
  EngineOptions options;
  options.threads = threads;
  absl::StatusOr<std::unique_ptr<CpuEngine>> engine =
      CpuEngine::Create(model.config, model.tensors, {}, options);
  SPANLM_CHECK(engine.ok());
  return *std::move(engine);
}

// Caches whose pages are all there: a slot's second use fills it.
std::vector<SpanCache> NewCaches(CpuEngine* engine, int count) {
  std::vector<SpanCache> caches;
  for (int use = 0; use < 2; ++use) {
    caches.clear();
    for (int i = 0; i < count; ++i) caches.push_back(*engine->NewCache());
  }
  return caches;
}

// Steps of one chunk of `chunk` symbols a session. Bytes a second, all
// sessions.
double Rate(CpuEngine* engine, int sessions, size_t chunk) {
  std::vector<SpanCache> caches = NewCaches(engine, sessions);
  const std::vector<uint16_t> symbols = RandomSymbols(4096, 256, 5);
  Batch batch;
  for (int i = 0; i < sessions; ++i) {
    batch.push_back({&caches[i],
                     {symbols.data() + i, chunk},
                     chunk > 1 ? Want::kTargets : Want::kNothing});
  }
  SPANLM_CHECK(engine->Step(batch).ok());
  const double begin = Now();
  double bytes = 0;
  while (Now() - begin < kSeconds) {
    SPANLM_CHECK(engine->Step(batch).ok());
    bytes += static_cast<double>(sessions) * static_cast<double>(chunk);
  }
  return bytes / (Now() - begin);
}

struct Contender {
  std::string name;
  std::function<double()> measure;
  std::function<double(double)> bound;  // from the limit measured beside it
  std::function<double()> limit;
  std::vector<double> figures;
  std::vector<double> bounds;
};

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half]
                                : (values[half - 1] + values[half]) / 2;
}

void Print(const Contender& contender) {
  const double median = Median(contender.figures);
  const auto [least, most] =
      std::minmax_element(contender.figures.begin(), contender.figures.end());
  const double bound = Median(contender.bounds);
  std::printf("| %s | %.0f | %.0f %% | %.0f | %.0f %% |\n",
              contender.name.c_str(), median, 100 * (*most - *least) / median,
              bound, 100 * median / bound);
}

int Main(int threads, int rounds) {
  WorkerTeam team(threads);
  std::vector<std::unique_ptr<CpuEngine>> engines;
  std::vector<Contender> contenders;
  constexpr int64_t kWeightFloats =
      int64_t{12} * (4 * 512 * 512 + 2 * 512 * 2048);
  absl::StatusOr<AlignedFloats> buffer =
      AlignedFloats::Create(kWeightFloats + (int64_t{32} * 17 << 18));
  SPANLM_CHECK(buffer.ok());
  std::fill_n(buffer->data(), buffer->size(), 1.0F);
  for (const char* profile : {"uniform", "skewed"}) {
    engines.push_back(NewEngine(profile, threads));
    CpuEngine* engine = engines.back().get();
    std::printf("%s: %s, %.1f MB a cache\n", profile,
                engine->info().numerics.c_str(),
                static_cast<double>(engine->info().state_bytes) / 1e6);
    for (const int sessions : {1, 8, 32}) {
      const int64_t floats =
          std::min(buffer->size(),
                   kWeightFloats + sessions * engine->info().state_bytes / 4);
      const double bytes_a_step = static_cast<double>(
          kWeightFloats * 4 + sessions * engine->info().state_bytes);
      contenders.push_back(
          {std::string(profile) + ", decode, " + std::to_string(sessions),
           [=] { return Rate(engine, sessions, 1); },
           [=](double bandwidth) {
             return std::min(sessions * bandwidth / bytes_a_step, 1e9);
           },
           [=, &buffer, &team] {
             return ReadBandwidth(buffer->data(), floats, kSeconds / 2, &team);
           },
           {},
           {}});
    }
    contenders.push_back({std::string(profile) + ", score, chunks of 512",
                          [=] { return Rate(engine, 1, kChunk); },
                          [](double flops) { return flops / kFlopsPerByte; },
                          [&team] { return PeakFlops(kSeconds / 2, &team); },
                          {},
                          {}});
  }
  for (int round = 0; round < rounds; ++round) {
    for (Contender& contender : contenders) {
      const double limit = contender.limit();
      contender.figures.push_back(contender.measure());
      contender.bounds.push_back(contender.bound(limit));
      std::fprintf(stderr, "round %d, %s: %.0f bytes/s, limit %.3g\n", round,
                   contender.name.c_str(), contender.figures.back(), limit);
    }
  }
  std::printf("%d threads, %d rounds\n\n", threads, rounds);
  std::printf("| what, sessions | bytes/s | spread | bound | of it |\n");
  std::printf("|---|---|---|---|---|\n");
  for (const Contender& contender : contenders) Print(contender);
  return 0;
}

}  // namespace
}  // namespace spanlm

int main(int argc, char** argv) {
  const int threads = argc > 1 ? std::atoi(argv[1]) : 2;
  const int rounds = argc > 2 ? std::atoi(argv[2]) : 4;
  if (threads < 1 || rounds < 1) {
    std::fprintf(stderr, "usage: spanlm_step_bench [threads] [rounds]\n");
    return 2;
  }
  return spanlm::Main(threads, rounds);
}
