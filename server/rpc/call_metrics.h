// SPDX-License-Identifier: Apache-2.0
// Counts every call of our services as grpc_server_*, and gives a call whose
// request does not parse the status that gRPC does not.
#pragma once

#include <grpcpp/support/server_interceptor.h>

#include <map>
#include <memory>
#include <string>

#include "server/metrics/metrics.h"

namespace spanlm {

// The instruments of all methods of the six services, by path
// ("/spanlm.v1.ScoringService/Score"). Immutable.
class CallMetrics {
 public:
  // `metrics` is lent. Call it once for a Metrics.
  explicit CallMetrics(Metrics* metrics);

  // Null: not one of our methods.
  RpcMetrics* Find(const std::string& path) const;

  // For one listener; this must outlive it.
  std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>
  NewInterceptors() const;

 private:
  std::map<std::string, RpcMetrics*> methods_;
};

}  // namespace spanlm
