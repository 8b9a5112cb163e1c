// SPDX-License-Identifier: Apache-2.0
// `spanlm-train train`: flags to TrainOptions, signals, the run.
#pragma once

namespace CLI {
class App;
}

namespace spanlm {

// Adds the subcommand to `app`; its callback runs the training and sets
// `*exit_code`: 75 where SIGTERM or SIGINT stopped it after saving.
void AddTrainCommand(CLI::App& app, int* exit_code);

}  // namespace spanlm
