// SPDX-License-Identifier: Apache-2.0
// spanlm generate: a text that the model writes.
#pragma once

#include "client/commands/command.h"

namespace CLI {  // NOLINT(readability-identifier-naming)
class App;
}

namespace spanlm {

// Registers the command with `app`; chosen, it sets `invocation->run`.
void AddGenerateCommand(CLI::App* app, Invocation* invocation);

}  // namespace spanlm
