// SPDX-License-Identifier: Apache-2.0
#include "train/commands/report.h"

#include <filesystem>
#include <iostream>
#include <memory>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/atomic_file.h"
#include "base/status_macros.h"
#include "engine/checkpoint/model_dir.h"
#include "train/exit_codes.h"
#include "train/model_facts.h"
#include "train/report_page.h"
#include "train/run_history.h"

namespace spanlm {
namespace {

namespace fs = std::filesystem;

constexpr char kLog[] = "train.jsonl";
constexpr char kPage[] = "report.html";

// What the run's model tells, if there is one; a run whose checkpoints are gone
// still has its curves.
void AddModel(const std::string& run_dir, ReportInput* input) {
  for (const char* name : {"checkpoint_last", "checkpoint_best", "."}) {
    const absl::StatusOr<ModelDir> model =
        ModelDir::Open((fs::path(run_dir) / name).string());
    if (!model.ok()) continue;
    const ModelConfig& config = model->config();
    input->parameters = model->parameter_count();
    input->model = absl::StrFormat(
        "%s, %d layers of %d heads, width %d, feed-forward %d, %d symbols",
        Name(config->architecture), config->n_layer, config->n_head,
        config->d_model, config->d_inner, config->vocab_size);
    const absl::StatusOr<ModelFacts> facts = FactsOf(config, *model);
    if (!facts.ok()) return;
    for (const std::vector<float>& heads : facts->spans) {
      input->model_spans.emplace_back(heads.begin(), heads.end());
    }
    return;
  }
}

// The run's name: its folder's.
std::string TitleOf(const std::string& run_dir) {
  std::error_code error;
  const fs::path path = fs::weakly_canonical(run_dir, error);
  const std::string name = path.filename().string();
  return error || name.empty() ? run_dir : name;
}

}  // namespace

void AddReportCommand(CLI::App& app, int* exit_code) {
  auto options = std::make_shared<ReportCommandOptions>();
  CLI::App* command = app.add_subcommand(
      "report", "Draws a training run as one self-contained HTML page.");
  command
      ->add_option("run", options->run_dir,
                   "the run's --save-dir, which holds train.jsonl")
      ->type_name("RUN_DIR")
      ->required();
  command
      ->add_option("--out", options->out,
                   "the page to write (default RUN_DIR/report.html)")
      ->type_name("FILE");
  command->callback([options, exit_code] {
    *exit_code = Report(RunReport(*options, std::cout));
  });
}

absl::Status RunReport(const ReportCommandOptions& options, std::ostream& out) {
  const std::string log = (fs::path(options.run_dir) / kLog).string();
  ReportInput input;
  SPANLM_ASSIGN_OR_RETURN(input.history, ReadRunHistory(log));
  if (input.history.last_update == 0) {
    return absl::DataLossError(
        absl::StrCat(log, ": ", input.history.lines,
                     " lines and none of an update, want at least 1"));
  }
  input.title = TitleOf(options.run_dir);
  AddModel(options.run_dir, &input);
  const std::string page = options.out.empty()
                               ? (fs::path(options.run_dir) / kPage).string()
                               : options.out;
  SPANLM_RETURN_IF_ERROR(WriteFileAtomically(page, MakeReportPage(input)));
  out << absl::StreamFormat("%s: %d updates\n", page,
                            static_cast<int64_t>(input.history.last_update));
  if (input.history.skipped_lines > 0) {
    out << absl::StreamFormat("note: %d of %d lines of %s are unreadable\n",
                              input.history.skipped_lines, input.history.lines,
                              log);
  }
  return absl::OkStatus();
}

}  // namespace spanlm
