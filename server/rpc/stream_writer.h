// SPDX-License-Identifier: Apache-2.0
// The writing half of a streaming call: one write in flight, then the end.
#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include <optional>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "base/mutex.h"
#include "server/rpc/status.h"

namespace spanlm {

// `Reactor` is gRPC's ServerWriteReactor or ServerBidiReactor, `Response` what
// it writes. A derived class changes its state under mutex_, then calls Pump()
// without it. gRPC may destroy the object inside Pump once end_ is set, so
// nothing follows it, except in gRPC's own callbacks, which hold the call.
template <typename Reactor, typename Response>
class StreamWriter : public Reactor {
 public:
  void OnWriteDone(bool ok) final {
    {
      MutexLock lock(&mutex_);
      is_busy_ = false;
      is_broken_ = is_broken_ || !ok;
    }
    OnWritten();
    Pump();
  }
  void OnDone() final { delete this; }

 protected:
  explicit StreamWriter(grpc::CallbackServerContext* context)
      : context_(context) {}

  // Moves the next message that is due to `*response`; false: none is.
  virtual bool TakeNext(Response* response)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) = 0;
  // The last message was written, or lost with the connection.
  virtual void OnWritten() ABSL_LOCKS_EXCLUDED(mutex_) {}

  void Pump() ABSL_LOCKS_EXCLUDED(mutex_) {
    std::optional<absl::Status> end;
    {
      MutexLock lock(&mutex_);
      if (is_busy_) return;
      response_.Clear();
      if (is_broken_ || !TakeNext(&response_)) {
        if (!end_.has_value()) return;
        end = *end_;
      }
      is_busy_ = true;  // stays so once the end is taken: nothing follows it
    }
    if (end.has_value()) {
      this->Finish(ToGrpc(*end, context_));
    } else {
      this->StartWrite(&response_);
    }
  }

  grpc::CallbackServerContext* context() const { return context_; }

  mutable Mutex mutex_;
  // What the call ends with, once nothing is due any more.
  std::optional<absl::Status> end_ ABSL_GUARDED_BY(mutex_);

 private:
  grpc::CallbackServerContext* const context_;
  Response response_;  // in flight while is_busy_
  bool is_busy_ ABSL_GUARDED_BY(mutex_) = false;
  bool is_broken_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace spanlm
