// SPDX-License-Identifier: Apache-2.0
// The prometheus-cpp side of RpcMetrics.
#pragma once

#include <prometheus/counter.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <array>

#include "server/metrics/metrics.h"

namespace spanlm {

// gRPC's status codes by number, as the go-grpc-middleware metrics name them.
inline constexpr std::array<const char*, 17> kCodeNames = {"OK",
                                                           "Canceled",
                                                           "Unknown",
                                                           "InvalidArgument",
                                                           "DeadlineExceeded",
                                                           "NotFound",
                                                           "AlreadyExists",
                                                           "PermissionDenied",
                                                           "ResourceExhausted",
                                                           "FailedPrecondition",
                                                           "Aborted",
                                                           "OutOfRange",
                                                           "Unimplemented",
                                                           "Internal",
                                                           "Unavailable",
                                                           "DataLoss",
                                                           "Unauthenticated"};

// All children exist from the start; they belong to the registry. Thread-safe.
struct RpcMetrics::Instruments {
  Instruments(prometheus::Registry* registry, const prometheus::Labels& labels);

  prometheus::Counter& started;
  prometheus::Counter& received;
  prometheus::Counter& sent;
  prometheus::Histogram& seconds;
  std::array<prometheus::Counter*, kCodeNames.size()> handled;
};

}  // namespace spanlm
