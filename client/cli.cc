// SPDX-License-Identifier: Apache-2.0
#include "client/cli.h"

#include "CLI/CLI.hpp"
#include "base/command_line.h"
#include "client/commands/command.h"
#include "client/commands/evaluate.h"
#include "client/commands/generate.h"
#include "client/commands/health.h"
#include "client/commands/model.h"
#include "client/commands/score.h"
#include "client/grpc_status.h"

namespace spanlm {
namespace {

constexpr char kExamples[] =
    R"(Every option can also be set in the environment, as SPANLM_<OPTION>, and in
the file of --config; the command line wins over the environment, and that
over the file.

Examples:
  echo 'The cat sat on the mat.' | spanlm score
  spanlm generate --prompt 'The ' --max-bytes 200 --seed 1
  spanlm evaluate sample.txt
  spanlm model list
  spanlm health --service ready

Exit codes: 0; 64 for wrong arguments; otherwise 70 + the gRPC code.)";

void AddCommonOptions(CLI::App* app, CommonFlags* flags) {
  app->add_option("--address", flags->address,
                  "The server, HOST:PORT or a gRPC target such as "
                  "dns:///NAME:PORT")
      ->capture_default_str();
  app->add_option("--timeout", flags->timeout_seconds,
                  "Seconds until a call is given up; without it health and "
                  "model wait 10 s, the others as long as it takes")
      ->check(CLI::PositiveNumber);
  app->add_option("--model", flags->model,
                  "The model to ask; without it the server's default");
  app->add_flag("--json", flags->json, "Print JSON and nothing else");
}

}  // namespace

int RunCli(const std::vector<std::string>& arguments, Console& console) {
  CLI::App app(
      "Scores, generates and evaluates byte by byte on a SpanLM "
      "server.",
      "spanlm");
  Invocation invocation;
  app.set_version_flag("--version", std::string("spanlm ") + SPANLM_VERSION);
  app.require_subcommand(1);
  app.fallthrough();
  app.footer(kExamples);
  AddCommonOptions(&app, &invocation.flags);
  AddScoreCommand(&app, &invocation);
  AddGenerateCommand(&app, &invocation);
  AddEvaluateCommand(&app, &invocation);
  AddModelCommand(&app, &invocation);
  AddHealthCommand(&app, &invocation);
  AddEnvironmentAndConfig(&app);

  std::vector<std::string> reversed(arguments.rbegin(), arguments.rend());
  try {
    app.parse(reversed);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) {  // --help, --version
      return app.exit(error, console.out, console.err);
    }
    console.err << "spanlm: " << DescribeUsageError(app, error)
                << "\nRun with --help for more information." << std::endl;
    return kUsageExit;
  }
  const absl::Status status = invocation.run(invocation.flags, console);
  if (!status.ok()) {
    console.err << "spanlm: " << DescribeError(status) << std::endl;
  }
  return ExitCode(status);
}

}  // namespace spanlm
