// SPDX-License-Identifier: Apache-2.0
#include "tests/server/rpc/health_probe.h"

#include "tests/server/rpc/raw_call.h"

namespace spanlm {

std::string Probe(const std::shared_ptr<grpc::Channel>& channel,
                  const std::string& service) {
  // Field 1, length-delimited.
  std::string request = "\x0A";
  request.push_back(static_cast<char>(service.size()));
  request += service;
  std::string answer;
  const grpc::Status status =
      RawCall(channel, "/grpc.health.v1.Health/Check", {request}, &answer);
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
  // Field 1, a number: 1 is SERVING, 2 NOT_SERVING.
  const bool is_serving = answer.size() == 2 && answer[1] == 1;
  return is_serving ? "SERVING" : "NOT_SERVING";
}

}  // namespace spanlm
