// SPDX-License-Identifier: Apache-2.0
#include "bench/step_cases.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <iterator>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/status_macros.h"
#include "bench/machine_limits.h"
#include "tests/support/memory_model.h"

namespace spanlm {
namespace {

constexpr int kSessions[] = {1, 8, 32};
constexpr size_t kPeak = std::size(kSessions);  // its place among the limits
constexpr int kScoreStep = 512;                 // bytes, all sessions together
constexpr double kGiga = 1e9;

double Now() {
  return std::chrono::duration<double>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
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

// Steps of `chunk` symbols a session for `seconds`, at least one, after one
// that is not timed. Bytes a second, all sessions.
double StepRate(CpuEngine* engine, int sessions, Want want, double seconds) {
  const int chunk = want == Want::kTargets ? kScoreStep / sessions : 1;
  std::vector<SpanCache> caches = NewCaches(engine, sessions);
  const std::vector<uint16_t> symbols = RandomSymbols(4096, 256, 5);
  Batch batch;
  for (int i = 0; i < sessions; ++i) {
    batch.push_back(
        {&caches[i], {symbols.data() + i, static_cast<size_t>(chunk)}, want});
  }
  SPANLM_CHECK(engine->Step(batch).ok());
  const double begin = Now();
  double bytes = 0;
  double elapsed = 0;
  do {
    SPANLM_CHECK(engine->Step(batch).ok());
    bytes += sessions * chunk;
    elapsed = Now() - begin;
  } while (elapsed < seconds);
  return bytes / elapsed;
}

// What a decoding step reads.
double WorkingSet(const StepWork& work, int sessions) {
  return work.weight_bytes + sessions * work.cache_bytes;
}

}  // namespace

absl::StatusOr<std::unique_ptr<StepBench>> StepBench::Create(
    const StepBenchOptions& options) {
  // NOLINTNEXTLINE(modernize-make-unique): the constructor is private
  std::unique_ptr<StepBench> bench(new StepBench(options));
  for (const char* profile : {"uniform", "skewed"}) {
    SPANLM_RETURN_IF_ERROR(bench->AddProfile(profile));
  }
  SPANLM_RETURN_IF_ERROR(bench->MakeBuffer());
  return bench;
}

StepBench::StepBench(const StepBenchOptions& options)
    : options_(options),
      team_(std::make_unique<WorkerTeam>(
          options.threads == 0 ? AllowedCpuCount() : options.threads)) {
  for (const int sessions : kSessions) {
    limits_.push_back({absl::StrCat("read_b", sessions), "GB/s", {}, {}});
  }
  limits_.push_back({"peak_fp32", "GFLOP/s", {}, {}});
}

absl::Status StepBench::AddProfile(const std::string& profile) {
  SPANLM_ASSIGN_OR_RETURN(std::unique_ptr<CpuEngine> engine,
                          NewBenchEngine(profile, team_->threads()));
  const StepWork work = WorkOf(*engine);
  for (const bool scores : {false, true}) {
    for (size_t i = 0; i < std::size(kSessions); ++i) {
      Contender contender{engine.get(),       work, kSessions[i], scores,
                          scores ? kPeak : i, {}};
      contender.row.name =
          absl::StrCat(scores ? "score" : "decode", "_b", kSessions[i], "_",
                       engine->options().weights, "_", profile);
      contender.row.unit = "bytes/s";
      contenders_.push_back(std::move(contender));
    }
  }
  sizes_.push_back(
      {absl::StrCat("session_bytes_", engine->options().kv, "_", profile),
       "bytes",
       {static_cast<double>(engine->info().state_bytes)},
       {work.cache_bytes}});
  engines_.push_back(std::move(engine));
  return absl::OkStatus();
}

absl::Status StepBench::MakeBuffer() {
  double bytes = 0;
  for (const Contender& contender : contenders_) {
    bytes = std::max(bytes, WorkingSet(contender.work, contender.sessions));
  }
  SPANLM_ASSIGN_OR_RETURN(
      buffer_, AlignedFloats::Create(static_cast<int64_t>(bytes) /
                                     static_cast<int64_t>(sizeof(float))));
  std::fill_n(buffer_.data(), buffer_.size(), 1.0F);  // takes the pages
  return absl::OkStatus();
}

double StepBench::MeasureLimit(const Contender& contender) {
  const double seconds = options_.turn_ms / 2000.0;
  if (contender.limit == kPeak) return PeakFlops(seconds, team_.get());
  const auto bytes =
      static_cast<int64_t>(WorkingSet(contender.work, contender.sessions));
  return ReadBandwidth(buffer_.data(),
                       bytes / static_cast<int64_t>(sizeof(float)), seconds,
                       team_.get());
}

void StepBench::RunRound() {
  ++round_;
  for (Contender& contender : contenders_) {
    const double limit = MeasureLimit(contender);
    const double rate =
        StepRate(contender.engine, contender.sessions,
                 contender.scores ? Want::kTargets : Want::kNothing,
                 options_.turn_ms / 1000.0);
    const double bound =
        contender.scores ? limit / contender.work.flops_per_byte
                         : contender.sessions * limit /
                               WorkingSet(contender.work, contender.sessions);
    contender.row.values.push_back(rate);
    contender.row.bounds.push_back(bound);
    BenchRow& limit_row = limits_[contender.limit];
    limit_row.values.push_back(limit / kGiga);
    std::fprintf(stderr, "round %d of %d, %s: %.1f bytes/s, limit %.1f %s\n",
                 round_, options_.rounds, contender.row.name.c_str(), rate,
                 limit / kGiga, limit_row.unit.c_str());
  }
}

std::vector<BenchRow> StepBench::Rows() const {
  std::vector<BenchRow> rows = limits_;
  for (const Contender& contender : contenders_) rows.push_back(contender.row);
  rows.insert(rows.end(), sizes_.begin(), sizes_.end());
  return rows;
}

}  // namespace spanlm
