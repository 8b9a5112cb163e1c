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
// of mutex_, then sends that turn. Both belong together: once end_ is set and
// mutex_ let go, gRPC's threads may finish the call and destroy the object,
// unless the turn taken is what they wait for. So nothing of the object is used
// after that, except in gRPC's own callbacks, which hold the call.
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
    turn.Send();
  }
  void OnDone() final { delete this; }

 protected:
  // What a thread has to hand to gRPC; only one at a time has anything. An
  // empty one refers to no writer: the writer may be gone.
  class Turn {
   public:
    void Send() const {
      if (writer_ == nullptr) return;
      if (end_.has_value()) {
        writer_->Finish(ToGrpc(*end_, writer_->context_));
      } else {
        writer_->StartWrite(&writer_->response_);
      }
    }

   private:
    friend class StreamWriter;
    StreamWriter* writer_ = nullptr;
    std::optional<absl::Status> end_;  // of the call; none: send response_
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
    const bool has_message = !is_broken_ && TakeNext(&response_);
    if (!has_message && !end_.has_value()) return turn;
    if (!has_message) turn.end_ = end_;
    turn.writer_ = this;
    is_busy_ = true;  // stays so once the end is taken: nothing follows it
    return turn;
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
