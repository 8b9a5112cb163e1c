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
// it writes. A derived class changes its state and takes its turn in one hold
// of mutex_, then calls Send with that turn. Both belong together: once end_ is
// set and mutex_ let go, gRPC's threads may finish the call and destroy the
// object, unless the turn taken is what they wait for. Nothing follows Send
// either, except in gRPC's own callbacks, which hold the call.
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
    Turn turn;
    {
      MutexLock lock(&mutex_);
      turn = TakeTurn();
    }
    Send(turn);
  }
  void OnDone() final { delete this; }

 protected:
  // What a thread has to hand to gRPC; only one at a time has anything.
  struct Turn {
    bool has_message = false;         // response_
    std::optional<absl::Status> end;  // the call's
  };

  explicit StreamWriter(grpc::CallbackServerContext* context)
      : context_(context) {}

  // Moves the next message that is due to `*response`; false: none is.
  virtual bool TakeNext(Response* response)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) = 0;
  // The last message was written, or lost with the connection.
  virtual void OnWritten() ABSL_LOCKS_EXCLUDED(mutex_) {}

  Turn TakeTurn() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    Turn turn;
    if (is_busy_) return turn;
    response_.Clear();
    turn.has_message = !is_broken_ && TakeNext(&response_);
    if (!turn.has_message) turn.end = end_;
    // Stays so once the end is taken: nothing follows it.
    is_busy_ = turn.has_message || turn.end.has_value();
    return turn;
  }

  // Touches nothing of this object if the turn is empty.
  void Send(const Turn& turn) ABSL_LOCKS_EXCLUDED(mutex_) {
    if (turn.end.has_value()) {
      this->Finish(ToGrpc(*turn.end, context_));
    } else if (turn.has_message) {
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
