// SPDX-License-Identifier: Apache-2.0
// An address that answers gRPC calls.
#pragma once

#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/resource_quota.h>
#include <grpcpp/server.h>
#include <grpcpp/support/server_interceptor.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/server_options.h"

namespace spanlm {

struct ListenerOptions {
  std::string address;  // HOST:PORT; port 0: any free one
  RpcLimits limits;
  bool has_health = false;  // grpc.health.v1, all names NOT_SERVING at first
  bool has_reflection = false;           // grpc.reflection.v1alpha
  bool has_channelz = false;             // grpc.channelz.v1
  std::vector<grpc::Service*> services;  // lent; outlive the listener
  // What all listeners that share it may buffer; lent; null: no bound.
  const grpc::ResourceQuota* quota = nullptr;
  // Makes what watches each call; may be empty.
  std::function<
      std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>()>
      new_interceptors;
};

// A bound, serving gRPC server in plaintext. Thread-safe.
class Listener {
 public:
  // Sets up what gRPC and protobuf want to know once a process: standard
  // services and where their logs go. Call it before the first Start, from any
  // one thread.
  static void PrepareProcess();

  // kAlreadyExists: the address is in use, or is none of this machine.
  static absl::StatusOr<std::unique_ptr<Listener>> Start(
      const ListenerOptions& options);

  // The address with the port that was bound.
  const std::string& address() const { return address_; }
  grpc::Server* server() { return server_.get(); }

  // Sets grpc.health.v1's answer for `service`; nothing without has_health.
  void SetServing(const std::string& service, bool is_serving);

 private:
  Listener(std::unique_ptr<grpc::CallbackGenericService> other_calls,
           std::unique_ptr<grpc::Server> server, std::string address)
      : other_calls_(std::move(other_calls)),
        server_(std::move(server)),
        address_(std::move(address)) {}

  // Answers UNIMPLEMENTED; nullptr where there are services. gRPC starts no
  // server whose only service is its own of health.
  const std::unique_ptr<grpc::CallbackGenericService> other_calls_;
  const std::unique_ptr<grpc::Server> server_;
  const std::string address_;
};

}  // namespace spanlm
