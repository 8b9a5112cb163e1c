// SPDX-License-Identifier: Apache-2.0
// The file that lets an evaluation go on after the process is gone.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/evaluation.h"

namespace spanlm {

// Replaces the file as a whole: a crash leaves the state before or after.
absl::Status WriteResumeFile(const std::string& path,
                             const EvaluationOrder& order,
                             const std::vector<EvaluationShard>& shards);

// The shards of an earlier run; empty if there is no such file.
// FailedPrecondition names what differs if the file is of another order;
// DataLoss if it is not a resume file.
absl::StatusOr<std::vector<EvaluationShard>> ReadResumeFile(
    const std::string& path, const EvaluationOrder& order);

}  // namespace spanlm
