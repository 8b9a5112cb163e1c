// SPDX-License-Identifier: Apache-2.0
// Calls that end with an error before anything was done.
#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include "absl/status/status.h"
#include "server/rpc/status.h"

namespace spanlm {

// Ends a unary call. The reactor is gRPC's.
inline grpc::ServerUnaryReactor* RefuseUnary(
    grpc::CallbackServerContext* context, const absl::Status& status) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  reactor->Finish(ToGrpc(status, context));
  return reactor;
}

// Ends a call that would have sent a stream; deletes itself.
template <typename Response>
class WriteRefusal : public grpc::ServerWriteReactor<Response> {
 public:
  WriteRefusal(grpc::CallbackServerContext* context,
               const absl::Status& status) {
    this->Finish(ToGrpc(status, context));
  }
  void OnDone() override { delete this; }
};

// Ends a call that would have received a stream; deletes itself.
template <typename Request>
class ReadRefusal : public grpc::ServerReadReactor<Request> {
 public:
  ReadRefusal(grpc::CallbackServerContext* context,
              const absl::Status& status) {
    this->Finish(ToGrpc(status, context));
  }
  void OnDone() override { delete this; }
};

}  // namespace spanlm
