// SPDX-License-Identifier: Apache-2.0
// The program spanlm, from its arguments to its exit code.
#pragma once

#include <string>
#include <vector>

#include "client/console.h"

namespace spanlm {

inline constexpr int kUsageExit = 64;

// Runs one command; `arguments` are without the program's name. Returns 0,
// kUsageExit with a line on `console.err` that says what is wrong with the
// arguments, or 70 + the gRPC code with a line that says what failed.
int RunCli(const std::vector<std::string>& arguments, Console& console);

}  // namespace spanlm
