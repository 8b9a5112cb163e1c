// SPDX-License-Identifier: Apache-2.0
// spanlm health: whether the server, or a part of it, serves.
#pragma once

#include "client/commands/command.h"

namespace CLI {  // NOLINT(readability-identifier-naming)
class App;
}

namespace spanlm {

// Registers the command with `app`; chosen, it sets `invocation->run`.
void AddHealthCommand(CLI::App* app, Invocation* invocation);

}  // namespace spanlm
