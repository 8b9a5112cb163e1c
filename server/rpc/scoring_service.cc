// SPDX-License-Identifier: Apache-2.0
#include "server/rpc/scoring_service.h"

#include <memory>
#include <utility>
#include <vector>

#include "server/jobs/score_job.h"
#include "server/rpc/fill.h"
#include "server/rpc/parse.h"
#include "server/rpc/refusal.h"
#include "server/rpc/request_terms.h"
#include "server/rpc/score_stream.h"
#include "server/rpc/status.h"

namespace spanlm {
namespace {

// A Score under way. Deletes itself.
class ScoreUnary : public grpc::ServerUnaryReactor {
 public:
  ScoreUnary(const ServedModel& model, ScoreInput input,
             grpc::CallbackServerContext* context, v1::ScoreResponse* response)
      : model_(model),
        options_(input.options),
        context_(context),
        response_(response),
        call_(model.symbols, std::move(input.items), input.options,
              [this](const absl::StatusOr<std::vector<ScoreResult>>& results,
                     const RequestTiming& timing) { Done(results, timing); }) {}

  // May end, and so delete, the call.
  void Run(Priority priority) {
    model_.scheduler->Submit(
        TermsOf(JobKind::kScore, priority, *context_, &cancel_),
        call_.MakeJobs());
  }

  void OnCancel() override {
    cancel_.Set();
    model_.scheduler->Wake();
  }
  void OnDone() override { delete this; }

 private:
  void Done(const absl::StatusOr<std::vector<ScoreResult>>& results,
            const RequestTiming& timing) {
    if (results.ok()) {
      for (const ScoreResult& result : *results) {
        FillScoreResult(result, options_, response_->add_results());
      }
      response_->set_model_version(model_.description.version());
      response_->set_model_digest(model_.description.digest());
      response_->set_numerics(model_.description.numerics());
      FillTiming(timing, response_->mutable_timing());
      model_.metrics->ObserveRequestBytes(
          call_.input_bytes(), static_cast<int64_t>(response_->ByteSizeLong()));
    }
    Finish(ToGrpc(results.status(), context_));
  }

  const ServedModel& model_;
  const ScoreOptions options_;
  grpc::CallbackServerContext* const context_;
  v1::ScoreResponse* const response_;
  CancelFlag cancel_;
  ScoreCall call_;
};

}  // namespace

grpc::ServerUnaryReactor* ScoringService::Score(
    grpc::CallbackServerContext* context, const v1::ScoreRequest* request,
    v1::ScoreResponse* response) {
  const absl::StatusOr<const ServedModel*> model =
      models_->FindFor(JobKind::kScore, request->model());
  if (!model.ok()) return RefuseUnary(context, model.status());
  absl::StatusOr<ScoreInput> input = ParseScore(*request, limits_);
  if (!input.ok()) {
    (*model)->metrics->CountRequest(static_cast<int>(JobKind::kScore),
                                    Outcome::kInvalid);
    return RefuseUnary(context, input.status());
  }
  const Priority priority = input->priority;
  auto* const call =
      new ScoreUnary(**model, *std::move(input), context, response);
  call->Run(priority);
  return call;
}

grpc::ServerBidiReactor<v1::ScoreStreamRequest, v1::ScoreStreamResponse>*
ScoringService::ScoreStream(grpc::CallbackServerContext* context) {
  return new ScoreStreamReactor(models_, limits_, context);
}

}  // namespace spanlm
