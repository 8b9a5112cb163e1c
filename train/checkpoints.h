// SPDX-License-Identifier: Apache-2.0
// The model directories of a run, below its --save-dir.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"

namespace spanlm {

inline constexpr char kLastCheckpoint[] = "checkpoint_last";

// Removes all but the last `keep` of checkpoint<epoch>; none where `keep` is 0
// or less, as fairseq has it. kUnavailable: I/O.
absl::Status KeepLastEpochs(const std::string& save_dir, int32_t keep);
// The same of checkpoint_<epoch>_<update>, by update.
absl::Status KeepLastUpdates(const std::string& save_dir, int32_t keep);

// Where a run goes on from: `name`, a path or a name inside save_dir; "X.pt"
// stands for the model directory X. Empty: there is none.
std::string FindCheckpoint(const std::string& save_dir,
                           const std::string& name);

}  // namespace spanlm
