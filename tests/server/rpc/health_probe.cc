// SPDX-License-Identifier: Apache-2.0
#include "tests/server/rpc/health_probe.h"

#include <condition_variable>
#include <mutex>

#include "grpcpp/client_context.h"
#include "grpcpp/generic/generic_stub.h"
#include "grpcpp/support/byte_buffer.h"

namespace spanlm {

std::string Probe(const std::shared_ptr<grpc::Channel>& channel,
                  const std::string& service) {
  // Field 1, length-delimited.
  std::string bytes = "\x0A";
  bytes.push_back(static_cast<char>(service.size()));
  bytes += service;
  grpc::Slice slice(bytes);
  const grpc::ByteBuffer request(&slice, 1);
  grpc::ByteBuffer response;
  grpc::ClientContext context;
  grpc::GenericStub stub(channel);
  std::mutex mutex;
  std::condition_variable changed;
  bool is_done = false;
  grpc::Status status;
  stub.UnaryCall(&context, "/grpc.health.v1.Health/Check", grpc::StubOptions(),
                 &request, &response, [&](grpc::Status result) {
                   const std::lock_guard<std::mutex> lock(mutex);
                   status = std::move(result);
                   is_done = true;
                   changed.notify_all();
                 });
  std::unique_lock<std::mutex> lock(mutex);
  changed.wait(lock, [&] { return is_done; });
  switch (status.error_code()) {
    case grpc::StatusCode::OK:
      break;
    case grpc::StatusCode::NOT_FOUND:
      return "NOT_FOUND";
    case grpc::StatusCode::UNIMPLEMENTED:
      return "UNIMPLEMENTED";
    default:
      return status.error_message();
  }
  grpc::Slice answer;
  response.DumpToSingleSlice(&answer);
  // Field 1, a number: 1 is SERVING, 2 NOT_SERVING.
  const bool is_serving = answer.size() == 2 && answer.begin()[1] == 1;
  return is_serving ? "SERVING" : "NOT_SERVING";
}

}  // namespace spanlm
