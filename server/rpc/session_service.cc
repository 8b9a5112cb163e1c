// SPDX-License-Identifier: Apache-2.0
#include "server/rpc/session_service.h"

#include "server/rpc/refusal.h"
#include "server/rpc/status.h"

namespace spanlm {

grpc::ServerUnaryReactor* SessionService::CreateSession(
    grpc::CallbackServerContext* context,
    const v1::CreateSessionRequest* /*request*/,
    v1::CreateSessionResponse* /*response*/) {
  return RefuseUnary(context, NotBuiltIn("CreateSession"));
}

grpc::ServerUnaryReactor* SessionService::GetSession(
    grpc::CallbackServerContext* context,
    const v1::GetSessionRequest* /*request*/,
    v1::GetSessionResponse* /*response*/) {
  return RefuseUnary(context, NotBuiltIn("GetSession"));
}

grpc::ServerUnaryReactor* SessionService::ListSessions(
    grpc::CallbackServerContext* context,
    const v1::ListSessionsRequest* /*request*/,
    v1::ListSessionsResponse* /*response*/) {
  return RefuseUnary(context, NotBuiltIn("ListSessions"));
}

grpc::ServerUnaryReactor* SessionService::DeleteSession(
    grpc::CallbackServerContext* context,
    const v1::DeleteSessionRequest* /*request*/,
    v1::DeleteSessionResponse* /*response*/) {
  return RefuseUnary(context, NotBuiltIn("DeleteSession"));
}

grpc::ServerUnaryReactor* SessionService::AppendSession(
    grpc::CallbackServerContext* context,
    const v1::AppendSessionRequest* /*request*/,
    v1::AppendSessionResponse* /*response*/) {
  return RefuseUnary(context, NotBuiltIn("AppendSession"));
}

grpc::ServerUnaryReactor* SessionService::ForkSession(
    grpc::CallbackServerContext* context,
    const v1::ForkSessionRequest* /*request*/,
    v1::ForkSessionResponse* /*response*/) {
  return RefuseUnary(context, NotBuiltIn("ForkSession"));
}

grpc::ServerWriteReactor<v1::SnapshotSessionResponse>*
SessionService::SnapshotSession(grpc::CallbackServerContext* context,
                                const v1::SnapshotSessionRequest* /*request*/) {
  return new WriteRefusal<v1::SnapshotSessionResponse>(
      context, NotBuiltIn("SnapshotSession"));
}

grpc::ServerReadReactor<v1::RestoreSessionRequest>*
SessionService::RestoreSession(grpc::CallbackServerContext* context,
                               v1::RestoreSessionResponse* /*response*/) {
  return new ReadRefusal<v1::RestoreSessionRequest>(
      context, NotBuiltIn("RestoreSession"));
}

}  // namespace spanlm
