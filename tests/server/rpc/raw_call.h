// SPDX-License-Identifier: Apache-2.0
// Calls by path and bytes, for messages that the stubs cannot send.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "grpcpp/channel.h"
#include "grpcpp/support/status.h"

namespace spanlm {

// Sends `messages`, then the client's end; returns the status. `*answer`, if
// not null, becomes the last message that came back.
grpc::Status RawCall(const std::shared_ptr<grpc::Channel>& channel,
                     const std::string& path,
                     const std::vector<std::string>& messages,
                     std::string* answer = nullptr);

}  // namespace spanlm
