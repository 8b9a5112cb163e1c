// SPDX-License-Identifier: Apache-2.0
#include "server/metrics/metrics.h"
#include "server/metrics/rpc_instruments.h"

#include <utility>

#include "server/metrics/buckets.h"

namespace spanlm {
namespace {

constexpr int kUnknownCode = 2;

}  // namespace

RpcMetrics::Instruments::Instruments(prometheus::Registry* registry,
                                     const prometheus::Labels& labels)
    : started(prometheus::BuildCounter()
                  .Name("grpc_server_started_total")
                  .Help("RPCs started.")
                  .Register(*registry)
                  .Add(labels)),
      received(prometheus::BuildCounter()
                   .Name("grpc_server_msg_received_total")
                   .Help("Messages received.")
                   .Register(*registry)
                   .Add(labels)),
      sent(prometheus::BuildCounter()
               .Name("grpc_server_msg_sent_total")
               .Help("Messages sent.")
               .Register(*registry)
               .Add(labels)),
      seconds(prometheus::BuildHistogram()
                  .Name("grpc_server_handling_seconds")
                  .Help("Time from an RPC's start to its end.")
                  .Register(*registry)
                  .Add(labels, CallTimeBuckets())) {
  auto& family = prometheus::BuildCounter()
                     .Name("grpc_server_handled_total")
                     .Help("RPCs ended, by status code.")
                     .Register(*registry);
  for (size_t code = 0; code < kCodeNames.size(); ++code) {
    prometheus::Labels with_code = labels;
    with_code["grpc_code"] = kCodeNames[code];
    handled[code] = &family.Add(with_code);
  }
}

RpcMetrics::RpcMetrics(std::unique_ptr<Instruments> instruments)
    : instruments_(std::move(instruments)) {}

RpcMetrics::~RpcMetrics() = default;

void RpcMetrics::Started() { instruments_->started.Increment(); }

void RpcMetrics::Handled(int code, absl::Duration time) {
  const bool is_known = code >= 0 && code < static_cast<int>(kCodeNames.size());
  instruments_->handled[static_cast<size_t>(is_known ? code : kUnknownCode)]
      ->Increment();
  instruments_->seconds.Observe(absl::ToDoubleSeconds(time));
}

void RpcMetrics::MessageReceived() { instruments_->received.Increment(); }

void RpcMetrics::MessageSent() { instruments_->sent.Increment(); }

}  // namespace spanlm
