// SPDX-License-Identifier: Apache-2.0
#include "server/rpc/evaluation_service.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/status_macros.h"
#include "server/jobs/reason.h"
#include "server/rpc/evaluate_stream.h"
#include "server/rpc/page.h"
#include "server/rpc/parse.h"
#include "server/rpc/refusal.h"
#include "server/rpc/status.h"

namespace spanlm {
namespace {

constexpr char kPageList[] = "datasets";

// A call that has all it needs to start.
struct Evaluation {
  EvaluateInput input;
  EvaluationData data;
  Sha256 digest;
};

// Opens what the request names. The data's size is in the identity.
absl::StatusOr<EvaluationData> OpenData(const v1::EvaluateRequest& request,
                                        DatasetStore* datasets) {
  EvaluationData data;
  if (request.has_data()) {
    const std::string* const bytes = &request.data();
    data.identity.data_bytes = static_cast<int64_t>(bytes->size());
    data.read = [bytes](int64_t offset, int64_t count, std::string* out) {
      out->assign(*bytes, static_cast<size_t>(offset),
                  static_cast<size_t>(count));
      return absl::OkStatus();
    };
    return data;
  }
  if (!request.has_dataset()) {
    return FieldError("source", "want dataset or data", kReasonFieldInvalid);
  }
  absl::StatusOr<std::unique_ptr<DatasetFile>> file =
      datasets->Open(request.dataset());
  if (!file.ok()) return WithReason(file.status(), kReasonDataset);
  data.identity.dataset = request.dataset();
  data.identity.data_bytes = (*file)->stamp().size_bytes;
  data.stamp = (*file)->stamp();
  data.store = datasets;
  data.read = [file = std::shared_ptr<const DatasetFile>(*std::move(file))](
                  int64_t offset, int64_t count, std::string* out) {
    return file->Read(offset, count, out);
  };
  return data;
}

absl::StatusOr<Evaluation> Prepare(const v1::EvaluateRequest& request,
                                   const ServedModel& model,
                                   const RpcLimits& limits,
                                   DatasetStore* datasets) {
  Evaluation evaluation;
  SPANLM_ASSIGN_OR_RETURN(evaluation.data, OpenData(request, datasets));
  EvaluationIdentity* identity = &evaluation.data.identity;
  SPANLM_ASSIGN_OR_RETURN(evaluation.input,
                          ParseEvaluate(request, identity->data_bytes,
                                        model.receptive_field_bytes(), limits));
  EvaluateOptions* options = &evaluation.input.options;
  identity->model_digest = model.description.digest();
  identity->numerics = model.description.numerics();
  identity->begin = options->begin;
  identity->end = options->end;
  identity->warmup_bytes = options->warmup_bytes;
  identity->block_bytes = options->block_bytes;
  options->from.position = options->begin;
  if (!request.resume_token().empty()) {
    SPANLM_ASSIGN_OR_RETURN(EvaluationPoint point,
                            OpenEvaluation(request.resume_token(), *identity));
    options->from = std::move(point.state);
    evaluation.digest = std::move(point.digest);
  }
  return evaluation;
}

}  // namespace

grpc::ServerWriteReactor<v1::EvaluateResponse>* EvaluationService::Evaluate(
    grpc::CallbackServerContext* context, const v1::EvaluateRequest* request) {
  using Refusal = WriteRefusal<v1::EvaluateResponse>;
  const absl::StatusOr<const ServedModel*> model =
      models_->FindFor(JobKind::kEvaluate, request->model());
  if (!model.ok()) return new Refusal(context, model.status());
  absl::StatusOr<Evaluation> evaluation =
      Prepare(*request, **model, limits_, datasets_);
  if (!evaluation.ok()) {
    (*model)->metrics->CountRequest(static_cast<int>(JobKind::kEvaluate),
                                    Outcome::kInvalid);
    return new Refusal(context, evaluation.status());
  }
  auto* const call = new EvaluateReactor(
      **model, std::move(evaluation->input.options),
      std::move(evaluation->data), std::move(evaluation->digest), context);
  call->Run(evaluation->input.priority);
  return call;
}

grpc::ServerUnaryReactor* EvaluationService::ListDatasets(
    grpc::CallbackServerContext* context,
    const v1::ListDatasetsRequest* request,
    v1::ListDatasetsResponse* response) {
  const absl::StatusOr<Page> page =
      ParsePage(kPageList, request->page_size(), request->page_token());
  if (!page.ok()) return RefuseUnary(context, page.status());
  for (const DatasetStore::Entry& entry : datasets_->List()) {
    if (entry.name <= page->after) continue;
    if (static_cast<size_t>(response->datasets_size()) == page->size) {
      response->set_next_page_token(PageToken(
          kPageList, response->datasets(response->datasets_size() - 1).name()));
      break;
    }
    v1::Dataset* dataset = response->add_datasets();
    dataset->set_name(entry.name);
    dataset->set_size_bytes(entry.stamp.size_bytes);
    dataset->set_digest(entry.digest);
  }
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  reactor->Finish(grpc::Status::OK);
  return reactor;
}

}  // namespace spanlm
