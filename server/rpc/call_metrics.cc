// SPDX-License-Identifier: Apache-2.0
#include "server/rpc/call_metrics.h"

#include <google/protobuf/descriptor.h>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "server/rpc/status.h"
#include "spanlm/v1/admin.pb.h"
#include "spanlm/v1/evaluation.pb.h"
#include "spanlm/v1/generation.pb.h"
#include "spanlm/v1/model.pb.h"
#include "spanlm/v1/scoring.pb.h"
#include "spanlm/v1/session.pb.h"

namespace spanlm {
namespace {

using grpc::experimental::InterceptionHookPoints;

const char* TypeOf(const google::protobuf::MethodDescriptor& method) {
  if (method.client_streaming()) {
    return method.server_streaming() ? "bidi_stream" : "client_stream";
  }
  return method.server_streaming() ? "server_stream" : "unary";
}

// Whether the request is the call's one message. To those that take a stream a
// message that does not parse looks like its end.
bool HasOneRequest(grpc::experimental::ServerRpcInfo::Type type) {
  using Type = grpc::experimental::ServerRpcInfo::Type;
  return type == Type::UNARY || type == Type::SERVER_STREAMING;
}

// One call's. gRPC never runs two of its batches at once here.
class CallCounter : public grpc::experimental::Interceptor {
 public:
  CallCounter(RpcMetrics* metrics, bool has_one_request)
      : metrics_(metrics),
        has_one_request_(has_one_request),
        start_(absl::Now()) {
    metrics_->Started();
  }

  void Intercept(
      grpc::experimental::InterceptorBatchMethods* methods) override {
    if (methods->QueryInterceptionHookPoint(
            InterceptionHookPoints::POST_RECV_MESSAGE)) {
      if (methods->GetRecvMessage() != nullptr) {
        metrics_->MessageReceived();
      } else {
        is_malformed_ = has_one_request_;
      }
    }
    if (methods->QueryInterceptionHookPoint(
            InterceptionHookPoints::PRE_SEND_MESSAGE)) {
      metrics_->MessageSent();
    }
    if (methods->QueryInterceptionHookPoint(
            InterceptionHookPoints::PRE_SEND_STATUS)) {
      // gRPC's own answer would be UNIMPLEMENTED.
      if (is_malformed_) methods->ModifySendStatus(ToGrpc(Malformed()));
      metrics_->Handled(methods->GetSendStatus().error_code(),
                        absl::Now() - start_);
    }
    methods->Proceed();
  }

 private:
  RpcMetrics* const metrics_;
  const bool has_one_request_;
  const absl::Time start_;
  bool is_malformed_ = false;
};

class CallCounters
    : public grpc::experimental::ServerInterceptorFactoryInterface {
 public:
  explicit CallCounters(const CallMetrics* metrics) : metrics_(metrics) {}

  grpc::experimental::Interceptor* CreateServerInterceptor(
      grpc::experimental::ServerRpcInfo* info) override {
    RpcMetrics* const metrics = metrics_->Find(info->method());
    if (metrics == nullptr) return nullptr;
    return new CallCounter(metrics, HasOneRequest(info->type()));
  }

 private:
  const CallMetrics* const metrics_;
};

}  // namespace

CallMetrics::CallMetrics(Metrics* metrics) {
  const google::protobuf::FileDescriptor* const files[] = {
      v1::ScoreRequest::descriptor()->file(),
      v1::GenerateRequest::descriptor()->file(),
      v1::Session::descriptor()->file(),
      v1::EvaluateRequest::descriptor()->file(),
      v1::Model::descriptor()->file(),
      v1::LoadModelRequest::descriptor()->file(),
  };
  for (const google::protobuf::FileDescriptor* file : files) {
    const google::protobuf::ServiceDescriptor* service = file->service(0);
    for (int i = 0; i < service->method_count(); ++i) {
      const google::protobuf::MethodDescriptor* method = service->method(i);
      methods_[absl::StrCat("/", service->full_name(), "/", method->name())] =
          metrics->AddMethod(TypeOf(*method), service->full_name(),
                             method->name());
    }
  }
}

RpcMetrics* CallMetrics::Find(const std::string& path) const {
  const auto found = methods_.find(path);
  return found == methods_.end() ? nullptr : found->second;
}

std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>
CallMetrics::NewInterceptors() const {
  return std::make_unique<CallCounters>(this);
}

}  // namespace spanlm
