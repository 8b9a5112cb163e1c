// SPDX-License-Identifier: Apache-2.0
#include "server/rpc/generation_service.h"

#include <utility>

#include "server/jobs/generate_job.h"
#include "server/rpc/fill.h"
#include "server/rpc/generate_stream.h"
#include "server/rpc/parse.h"
#include "server/rpc/refusal.h"
#include "server/rpc/status.h"
#include "server/rpc/submit_generation.h"

namespace spanlm {
namespace {

// A Generate under way. Deletes itself.
class GenerateUnary : public grpc::ServerUnaryReactor, public GenerateSink {
 public:
  GenerateUnary(const ServedModel& model, GenerateInput input,
                grpc::CallbackServerContext* context,
                v1::GenerateResponse* response)
      : model_(model),
        input_(std::move(input)),
        context_(context),
        response_(response) {}

  void Run() {
    const absl::Status status =
        SubmitGeneration(model_, input_, *context_, &cancel_, this);
    if (!status.ok()) Finish(ToGrpc(status, context_));
  }

  void OnCancel() override {
    cancel_.Set();
    model_.scheduler->Wake();
  }
  void OnDone() override { delete this; }

  void OnBytes(GeneratedBytes bytes) override {
    AppendGenerated(bytes, response_);
  }
  void OnEnd(const absl::Status& status, const GenerateSummary& summary,
             const RequestTiming& timing) override {
    CountFinish(summary.reason, model_.metrics);
    if (status.ok()) {
      const int64_t seed = input_.options.sampling.seed;
      FillStart(model_, seed, response_->mutable_start());
      FillFinish(summary, seed, timing, response_->mutable_finish());
      model_.metrics->ObserveRequestBytes(
          static_cast<int64_t>(input_.prompt.size()),
          static_cast<int64_t>(response_->ByteSizeLong()));
    }
    Finish(ToGrpc(status, context_));
  }
  // ParseGenerate has bounded the answer.
  bool has_room() const override { return true; }

 private:
  const ServedModel& model_;
  const GenerateInput input_;
  grpc::CallbackServerContext* const context_;
  v1::GenerateResponse* const response_;
  CancelFlag cancel_;
};

template <typename Value>
absl::Status CountInvalid(const ServedModel& model,
                          const absl::StatusOr<Value>& input) {
  model.metrics->CountRequest(static_cast<int>(JobKind::kGenerate),
                              Outcome::kInvalid);
  return input.status();
}

}  // namespace

grpc::ServerUnaryReactor* GenerationService::Generate(
    grpc::CallbackServerContext* context, const v1::GenerateRequest* request,
    v1::GenerateResponse* response) {
  const absl::StatusOr<const ServedModel*> model =
      models_->FindFor(JobKind::kGenerate, request->model());
  if (!model.ok()) return RefuseUnary(context, model.status());
  absl::StatusOr<GenerateInput> input = ParseGenerate(*request, limits_);
  if (!input.ok()) return RefuseUnary(context, CountInvalid(**model, input));
  auto* const call =
      new GenerateUnary(**model, *std::move(input), context, response);
  call->Run();
  return call;
}

grpc::ServerWriteReactor<v1::GenerateStreamResponse>*
GenerationService::GenerateStream(grpc::CallbackServerContext* context,
                                  const v1::GenerateStreamRequest* request) {
  using Refusal = WriteRefusal<v1::GenerateStreamResponse>;
  const absl::StatusOr<const ServedModel*> model =
      models_->FindFor(JobKind::kGenerate, request->model());
  if (!model.ok()) return new Refusal(context, model.status());
  absl::StatusOr<GenerateInput> input = ParseGenerateStream(*request, limits_);
  if (!input.ok()) return new Refusal(context, CountInvalid(**model, input));
  auto* const call =
      new GenerateStreamReactor(**model, *std::move(input), limits_, context);
  call->Run();
  return call;
}

}  // namespace spanlm
