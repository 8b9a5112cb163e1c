// SPDX-License-Identifier: Apache-2.0
// A grpc.health.v1 check, by hand: its messages are one field each.
#pragma once

#include <memory>
#include <string>

#include "grpcpp/channel.h"

namespace spanlm {

// "SERVING", "NOT_SERVING", or the name of the gRPC error.
std::string Probe(const std::shared_ptr<grpc::Channel>& channel,
                  const std::string& service);

}  // namespace spanlm
