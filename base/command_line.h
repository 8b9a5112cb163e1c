// SPDX-License-Identifier: Apache-2.0
// Where the programs' options come from beside the command line.
#pragma once

#include <string>

namespace CLI {  // NOLINT(readability-identifier-naming)
class App;
class ParseError;
}  // namespace CLI

namespace spanlm {

// Lets every option of `app` and of its subcommands be set in the environment,
// --max-bytes as SPANLM_MAX_BYTES, and in a TOML or INI file that the option
// --config, added here, names. The command line wins over the environment,
// and that over the file, in which an unknown option is an error; an empty
// variable says nothing. Call it when all options are there, and before threads
// are.
void AddEnvironmentAndConfig(CLI::App* app);

// What was wrong with a command line that `error` refused: CLI11's words, but
// naming the word that stands where one of the app's commands should.
std::string DescribeUsageError(const CLI::App& app,
                               const CLI::ParseError& error);

}  // namespace spanlm
