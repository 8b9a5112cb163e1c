// SPDX-License-Identifier: Apache-2.0
// spanlm-train: the batch job. Flags are read here and in commands/ only.
#include <algorithm>
#include <exception>
#include <iostream>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/status/statusor.h"
#include "base/command_line.h"
#include "train/command_line.h"
#include "train/commands/eval_lm.h"
#include "train/commands/export.h"
#include "train/commands/import.h"
#include "train/commands/inspect.h"
#include "train/commands/preprocess.h"
#include "train/commands/report.h"
#include "train/commands/score_tokens.h"
#include "train/commands/train.h"
#include "train/exit_codes.h"

namespace spanlm {
namespace {

// Says what CLI11 found wrong, with the flag that was perhaps meant.
int ReportUsage(const CLI::App& app, const CLI::ParseError& error) {
  if (error.get_exit_code() == 0) return app.exit(error);  // --help, --version
  std::cerr << "spanlm-train: " << DescribeUsageError(app, error) << std::endl;
  for (const std::string& line : Suggestions(app)) {
    std::cerr << "spanlm-train: " << line << std::endl;
  }
  return kExitUsage;
}

int Main(int argc, char** argv) {
  CLI::App app{"Trains, imports and evaluates byte-level language models."};
  app.set_version_flag("--version", "spanlm-train " SPANLM_VERSION);
  app.require_subcommand(1);
  app.footer(
      "Each flag is also read from the environment as SPANLM_<FLAG> and from "
      "the file named by --config; flags win over the environment, the "
      "environment over the file.");
  int exit_code = kExitDone;
  AddPreprocessCommand(app, &exit_code);
  AddTrainCommand(app, &exit_code);
  AddEvalLmCommand(app, &exit_code);
  AddImportCommand(app, &exit_code);
  AddInspectCommand(app, &exit_code);
  AddScoreTokensCommand(app, &exit_code);
  AddExportCommand(app, &exit_code);
  AddReportCommand(app, &exit_code);
  AddConfigFlags(&app);

  try {
    absl::StatusOr<std::vector<std::string>> arguments =
        ExpandArguments(app, std::vector<std::string>(argv + 1, argv + argc));
    if (!arguments.ok()) {
      Report(arguments.status());
      return kExitUsage;  // whatever is wrong with the configuration
    }
    std::reverse(arguments->begin(), arguments->end());  // as CLI11 wants them
    app.parse(*std::move(arguments));
  } catch (const CLI::ParseError& error) {
    return ReportUsage(app, error);
  } catch (const std::exception& error) {  // not one that we know of
    std::cerr << "spanlm-train: " << error.what() << std::endl;
    return kExitFailure;
  }
  return exit_code;
}

}  // namespace
}  // namespace spanlm

int main(int argc, char** argv) { return spanlm::Main(argc, argv); }
