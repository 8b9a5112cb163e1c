// SPDX-License-Identifier: Apache-2.0
#include "server/rpc/admin_service.h"

#include "server/rpc/refusal.h"
#include "server/rpc/status.h"

namespace spanlm {

grpc::ServerUnaryReactor* AdminService::LoadModel(
    grpc::CallbackServerContext* context,
    const v1::LoadModelRequest* /*request*/,
    v1::LoadModelResponse* /*response*/) {
  return RefuseUnary(context, NotBuiltIn("LoadModel"));
}

grpc::ServerUnaryReactor* AdminService::UnloadModel(
    grpc::CallbackServerContext* context,
    const v1::UnloadModelRequest* /*request*/,
    v1::UnloadModelResponse* /*response*/) {
  return RefuseUnary(context, NotBuiltIn("UnloadModel"));
}

grpc::ServerUnaryReactor* AdminService::SetModelAlias(
    grpc::CallbackServerContext* context,
    const v1::SetModelAliasRequest* /*request*/,
    v1::SetModelAliasResponse* /*response*/) {
  return RefuseUnary(context, NotBuiltIn("SetModelAlias"));
}

grpc::ServerUnaryReactor* AdminService::Drain(
    grpc::CallbackServerContext* context, const v1::DrainRequest* /*request*/,
    v1::DrainResponse* /*response*/) {
  return RefuseUnary(context, NotBuiltIn("Drain"));
}

grpc::ServerUnaryReactor* AdminService::SetLogLevel(
    grpc::CallbackServerContext* context,
    const v1::SetLogLevelRequest* /*request*/,
    v1::SetLogLevelResponse* /*response*/) {
  return RefuseUnary(context, NotBuiltIn("SetLogLevel"));
}

grpc::ServerUnaryReactor* AdminService::GetServerInfo(
    grpc::CallbackServerContext* context,
    const v1::GetServerInfoRequest* /*request*/,
    v1::GetServerInfoResponse* /*response*/) {
  return RefuseUnary(context, NotBuiltIn("GetServerInfo"));
}

grpc::ServerUnaryReactor* AdminService::ListRequests(
    grpc::CallbackServerContext* context,
    const v1::ListRequestsRequest* /*request*/,
    v1::ListRequestsResponse* /*response*/) {
  return RefuseUnary(context, NotBuiltIn("ListRequests"));
}

grpc::ServerUnaryReactor* AdminService::CancelRequest(
    grpc::CallbackServerContext* context,
    const v1::CancelRequestRequest* /*request*/,
    v1::CancelRequestResponse* /*response*/) {
  return RefuseUnary(context, NotBuiltIn("CancelRequest"));
}

}  // namespace spanlm
