// SPDX-License-Identifier: Apache-2.0
#include "tests/fakes/job_driver.h"

#include <algorithm>

#include "base/status_macros.h"

namespace spanlm {
namespace {

absl::Status StepAlone(Engine* engine, Job* job, SpanCache* cache,
                       int64_t max_symbols) {
  SPANLM_ASSIGN_OR_RETURN(const Chunk chunk, job->Next(max_symbols));
  SPANLM_ASSIGN_OR_RETURN(const StepResult result,
                          engine->Step({{cache, chunk.symbols, chunk.want}}));
  return job->Consume(result[0], *cache).status();
}

}  // namespace

absl::Status Drive(Engine* engine, Job* job,
                   const std::function<int64_t()>& chunk_size) {
  absl::StatusOr<SpanCache> cache = engine->NewCache(job->start());
  absl::Status status = cache.status();
  while (status.ok() && !job->done()) {
    const Work work = job->Ready();
    if (job->done()) break;
    if (work.symbols == 0) return absl::UnavailableError("the job waits");
    status =
        StepAlone(engine, job, &*cache, std::min(work.symbols, chunk_size()));
  }
  job->End(status, RequestTiming());
  return status;
}

absl::Status Drive(Engine* engine, Job* job, int64_t chunk_size) {
  return Drive(engine, job, [chunk_size] { return chunk_size; });
}

}  // namespace spanlm
