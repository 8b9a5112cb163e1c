// SPDX-License-Identifier: Apache-2.0
// What Generate and GenerateStream do alike once their request is parsed.
#pragma once

#include <grpcpp/server_context.h>

#include "absl/status/status.h"
#include "server/jobs/generate_job.h"
#include "server/rpc/model_registry.h"
#include "server/rpc/parse.h"

namespace spanlm {

// Makes the job and submits it; after an OK `sink` hears of the end, perhaps
// already has, and nothing lent may be used any more. An error is counted, and
// `sink` hears nothing. All is lent.
absl::Status SubmitGeneration(const ServedModel& model,
                              const GenerateInput& input,
                              const grpc::CallbackServerContext& context,
                              const CancelFlag* cancel, GenerateSink* sink);

}  // namespace spanlm
