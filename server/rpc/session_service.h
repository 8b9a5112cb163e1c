// SPDX-License-Identifier: Apache-2.0
// Sessions between calls: declared, not built in yet.
#pragma once

#include "spanlm/v1/session.grpc.pb.h"

namespace spanlm {

// Answers UNIMPLEMENTED with reason OPTION to every call. Thread-safe.
class SessionService : public v1::SessionService::CallbackService {
 public:
  grpc::ServerUnaryReactor* CreateSession(
      grpc::CallbackServerContext* context,
      const v1::CreateSessionRequest* request,
      v1::CreateSessionResponse* response) override;
  grpc::ServerUnaryReactor* GetSession(
      grpc::CallbackServerContext* context,
      const v1::GetSessionRequest* request,
      v1::GetSessionResponse* response) override;
  grpc::ServerUnaryReactor* ListSessions(
      grpc::CallbackServerContext* context,
      const v1::ListSessionsRequest* request,
      v1::ListSessionsResponse* response) override;
  grpc::ServerUnaryReactor* DeleteSession(
      grpc::CallbackServerContext* context,
      const v1::DeleteSessionRequest* request,
      v1::DeleteSessionResponse* response) override;
  grpc::ServerUnaryReactor* AppendSession(
      grpc::CallbackServerContext* context,
      const v1::AppendSessionRequest* request,
      v1::AppendSessionResponse* response) override;
  grpc::ServerUnaryReactor* ForkSession(
      grpc::CallbackServerContext* context,
      const v1::ForkSessionRequest* request,
      v1::ForkSessionResponse* response) override;
  grpc::ServerWriteReactor<v1::SnapshotSessionResponse>* SnapshotSession(
      grpc::CallbackServerContext* context,
      const v1::SnapshotSessionRequest* request) override;
  grpc::ServerReadReactor<v1::RestoreSessionRequest>* RestoreSession(
      grpc::CallbackServerContext* context,
      v1::RestoreSessionResponse* response) override;
};

}  // namespace spanlm
