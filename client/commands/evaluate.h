// SPDX-License-Identifier: Apache-2.0
// spanlm evaluate: the bits per byte of a data set on the server.
#pragma once

#include "client/commands/command.h"

namespace CLI {  // NOLINT(readability-identifier-naming)
class App;
}

namespace spanlm {

// Registers the command with `app`; chosen, it sets `invocation->run`.
void AddEvaluateCommand(CLI::App* app, Invocation* invocation);

}  // namespace spanlm
