// SPDX-License-Identifier: Apache-2.0
// Where a flag's value comes from: the command line, else the environment, else
// the file named by --config.
#pragma once

#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/status/statusor.h"

namespace spanlm {

// Adds --config to `app`, which must be complete, and to every subcommand.
void AddConfigFlags(CLI::App* app);

// `arguments` (without the program's name) with a "--flag=value" behind the
// subcommand for each of its flags that is not there, but is in the
// environment as SPANLM_<FLAG>, or in the configuration file as `flag = value`
// (at the top or in the subcommand's own section). CLI11's own order puts the
// file before the environment. kNotFound: no such file; kInvalidArgument names
// a key of the file that is no flag of the subcommand.
absl::StatusOr<std::vector<std::string>> ExpandArguments(
    CLI::App& app, std::vector<std::string> arguments);

// A line for each flag that the parsed command does not have.
std::vector<std::string> Suggestions(const CLI::App& app);

// The flag of `command` that is spelled most like `flag`, or "".
std::string NearestFlag(const CLI::App& command, const std::string& flag);

}  // namespace spanlm
