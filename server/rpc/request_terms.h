// SPDX-License-Identifier: Apache-2.0
// A call's terms for the scheduler.
#pragma once

#include <grpcpp/server_context.h>

#include "absl/time/time.h"
#include "server/jobs/job.h"

namespace spanlm {

// The call's deadline, or none.
inline absl::Time DeadlineOf(const grpc::CallbackServerContext& context) {
  const auto deadline = context.deadline();
  return deadline == std::chrono::system_clock::time_point::max()
             ? absl::InfiniteFuture()
             : absl::FromChrono(deadline);
}

// `cancel` is lent.
inline RequestTerms TermsOf(JobKind kind, Priority priority,
                            const grpc::CallbackServerContext& context,
                            const CancelFlag* cancel) {
  return {kind, priority, DeadlineOf(context), cancel};
}

}  // namespace spanlm
