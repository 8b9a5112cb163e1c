// SPDX-License-Identifier: Apache-2.0
// Steps of the CPU engine beside the machine's limits, in turns.
#pragma once

#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "bench/bench_report.h"
#include "bench/step_model.h"
#include "engine/step/aligned_floats.h"
#include "engine/step/worker_team.h"

namespace spanlm {

struct StepBenchOptions {
  int threads = 0;  // 0: one a core that the process may use
  int rounds = 4;
  int turn_ms = 1500;  // of a contender; its limit is measured for half of it
};

// Decoding (a byte a session and step) and scoring (steps of 512 bytes, shared
// by the sessions, as a server's steps are by default) with 1, 8 and 32
// sessions of each span profile. One thread at a time.
class StepBench {
 public:
  // kResourceExhausted: the machine's memory does not hold it (2.5 GB).
  static absl::StatusOr<std::unique_ptr<StepBench>> Create(
      const StepBenchOptions& options);

  // Measures every contender once, each after the limit that bounds it, and
  // says on stderr what it found.
  void RunRound();

  // Of the rounds until now, at least one: the limits, the contenders, and the
  // bytes of a session's cache.
  std::vector<BenchRow> Rows() const;

  int threads() const { return team_->threads(); }
  // Formats, SIMD target and version of the kernels.
  const std::string& numerics() const { return engines_[0]->info().numerics; }

 private:
  struct Contender {
    CpuEngine* engine;
    StepWork work;
    int sessions;
    bool scores;
    size_t limit;  // index into limits_
    BenchRow row;
  };

  explicit StepBench(const StepBenchOptions& options);
  absl::Status AddProfile(const std::string& profile);
  absl::Status MakeBuffer();
  // Bytes, or multiplications and additions, a second.
  double MeasureLimit(const Contender& contender);

  const StepBenchOptions options_;
  const std::unique_ptr<WorkerTeam> team_;  // of the limits
  AlignedFloats buffer_;  // as large as the largest working set
  std::vector<std::unique_ptr<CpuEngine>> engines_;  // one a profile
  std::vector<BenchRow> limits_;  // reading, one a kSessions; the products'
  std::vector<Contender> contenders_;
  std::vector<BenchRow> sizes_;
  int round_ = 0;
};

}  // namespace spanlm
