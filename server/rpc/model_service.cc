// SPDX-License-Identifier: Apache-2.0
#include "server/rpc/model_service.h"

#include "server/rpc/page.h"
#include "server/rpc/refusal.h"
#include "server/rpc/status.h"

namespace spanlm {
namespace {

constexpr char kPageList[] = "models";

}  // namespace

grpc::ServerUnaryReactor* ModelService::ListModels(
    grpc::CallbackServerContext* context, const v1::ListModelsRequest* request,
    v1::ListModelsResponse* response) {
  const absl::StatusOr<Page> page =
      ParsePage(kPageList, request->page_size(), request->page_token());
  if (!page.ok()) return RefuseUnary(context, page.status());
  for (const v1::Model& model : models_->List()) {
    if (model.name() <= page->after) continue;
    if (static_cast<size_t>(response->models_size()) == page->size) {
      response->set_next_page_token(PageToken(
          kPageList, response->models(response->models_size() - 1).name()));
      break;
    }
    *response->add_models() = model;
  }
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  reactor->Finish(grpc::Status::OK);
  return reactor;
}

grpc::ServerUnaryReactor* ModelService::GetModel(
    grpc::CallbackServerContext* context, const v1::GetModelRequest* request,
    v1::GetModelResponse* response) {
  const absl::StatusOr<const ServedModel*> model =
      models_->Find(request->name());
  if (!model.ok()) return RefuseUnary(context, model.status());
  *response->mutable_model() = (*model)->description;
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  reactor->Finish(grpc::Status::OK);
  return reactor;
}

}  // namespace spanlm
