// SPDX-License-Identifier: Apache-2.0
#include "server/rpc/submit_generation.h"

#include <memory>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "server/rpc/request_terms.h"

namespace spanlm {

absl::Status SubmitGeneration(const ServedModel& model,
                              const GenerateInput& input,
                              const grpc::CallbackServerContext& context,
                              const CancelFlag* cancel, GenerateSink* sink) {
  absl::StatusOr<std::unique_ptr<GenerateJob>> job = GenerateJob::Create(
      model.symbols, input.prompt, input.options, sink, absl::Now);
  if (!job.ok()) {
    model.metrics->CountRequest(static_cast<int>(JobKind::kGenerate),
                                Outcome::kInvalid);
    return job.status();
  }
  std::vector<std::unique_ptr<Job>> jobs;
  jobs.push_back(*std::move(job));
  model.scheduler->Submit(
      TermsOf(JobKind::kGenerate, input.priority, context, cancel),
      std::move(jobs));
  return absl::OkStatus();
}

}  // namespace spanlm
