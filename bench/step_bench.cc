// SPDX-License-Identifier: Apache-2.0
// Bytes a second of decoding and scoring on the CPU, beside what the machine
// allows. Contenders take turns, so that a busy machine slows all of them; the
// table holds medians of the rounds and their spread.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/atomic_file.h"
#include "base/command_line.h"
#include "bench/bench_report.h"
#include "bench/step_cases.h"

namespace spanlm {
namespace {

constexpr int kExitUsage = 64;
constexpr int kExitFailure = 70;
constexpr int kExitIo = 74;

int Fail(const absl::Status& status, int exit_code) {
  std::cerr << "spanlm_step_bench: " << status.message() << std::endl;
  return exit_code;
}

// Empty, or why no file can be written there: known before minutes have passed.
std::string FolderProblem(const std::string& path) {
  const std::filesystem::path file(path);
  const std::filesystem::path folder =
      file.has_parent_path() ? file.parent_path() : ".";
  std::error_code ignored;
  if (file.has_filename() && !std::filesystem::is_directory(file, ignored) &&
      std::filesystem::is_directory(folder, ignored)) {
    return "";
  }
  return "want a file in a folder that exists: \"" + path + "\"";
}

int Run(const StepBenchOptions& options, const std::string& json_path) {
  absl::StatusOr<std::unique_ptr<StepBench>> bench = StepBench::Create(options);
  if (!bench.ok()) return Fail(bench.status(), kExitFailure);
  for (int round = 0; round < options.rounds; ++round) (*bench)->RunRound();
  const std::vector<BenchRow> rows = (*bench)->Rows();
  std::printf("%s, threads: %d, rounds: %d, turns of %d ms\n\n%s",
              (*bench)->numerics().c_str(), (*bench)->threads(), options.rounds,
              options.turn_ms, BenchTable(rows).c_str());
  std::fflush(stdout);
  if (json_path.empty()) return 0;
  const absl::Status written = WriteFileAtomically(json_path, BenchJson(rows));
  return written.ok() ? 0 : Fail(written, kExitIo);
}

int Main(int argc, char** argv) {
  StepBenchOptions options;
  std::string json_path;
  CLI::App app{
      "Times decoding and scoring on the CPU beside the machine's limits.",
      "spanlm_step_bench"};
  app.set_version_flag("--version", "spanlm_step_bench " SPANLM_VERSION);
  app.add_option("--threads", options.threads,
                 "CPU workers; 0: one a core that the process may use")
      ->check(CLI::Range(0, 1024))
      ->capture_default_str();
  app.add_option("--rounds", options.rounds, "Turns of each contender")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  app.add_option("--turn-ms", options.turn_ms, "Least length of a turn")
      ->check(CLI::Range(1, 60000))
      ->capture_default_str();
  app.add_option("--json", json_path, "File to write the table's figures to")
      ->type_name("FILE")
      ->check(FolderProblem)
      ->take_last();
  app.footer(
      "Some three minutes and 2.5 GB with the defaults. Leave the machine "
      "alone meanwhile.");
  AddEnvironmentAndConfig(&app);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kExitUsage;
  }
  return Run(options, json_path);
}

}  // namespace
}  // namespace spanlm

int main(int argc, char** argv) { return spanlm::Main(argc, argv); }
