// SPDX-License-Identifier: Apache-2.0
#include "tests/server/rpc/raw_call.h"

#include <deque>

#include "base/mutex.h"
#include "grpcpp/client_context.h"
#include "grpcpp/generic/generic_stub.h"
#include "grpcpp/support/byte_buffer.h"
#include "grpcpp/support/client_callback.h"

namespace spanlm {
namespace {

grpc::ByteBuffer BufferOf(const std::string& bytes) {
  const grpc::Slice slice(bytes);
  return grpc::ByteBuffer(&slice, 1);
}

class RawReactor
    : public grpc::ClientBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
 public:
  explicit RawReactor(const std::vector<std::string>& messages) {
    for (const std::string& message : messages) {
      messages_.push_back(BufferOf(message));
    }
  }

  void Start() {
    WriteNext();
    StartRead(&read_);
    StartCall();
  }
  grpc::Status Wait(std::string* answer) {
    MutexLock lock(&mutex_);
    while (!is_done_) changed_.Wait(&mutex_);
    if (answer != nullptr) *answer = answer_;
    return status_;
  }

  void OnWriteDone(bool ok) override {
    if (ok) WriteNext();
  }
  void OnReadDone(bool ok) override {
    if (!ok) return;
    grpc::Slice slice;
    read_.DumpToSingleSlice(&slice);
    answer_.assign(reinterpret_cast<const char*>(slice.begin()), slice.size());
    read_.Clear();
    StartRead(&read_);
  }
  void OnDone(const grpc::Status& status) override {
    MutexLock lock(&mutex_);
    status_ = status;
    is_done_ = true;
    changed_.NotifyAll();
  }

 private:
  void WriteNext() {
    if (messages_.empty()) return StartWritesDone();
    write_ = messages_.front();
    messages_.pop_front();
    StartWrite(&write_);
  }

  std::deque<grpc::ByteBuffer> messages_;
  grpc::ByteBuffer write_, read_;
  std::string answer_;
  Mutex mutex_;
  CondVar changed_;
  grpc::Status status_ ABSL_GUARDED_BY(mutex_);
  bool is_done_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace

grpc::Status RawCall(const std::shared_ptr<grpc::Channel>& channel,
                     const std::string& path,
                     const std::vector<std::string>& messages,
                     std::string* answer) {
  grpc::ClientContext context;
  grpc::GenericStub stub(channel);
  RawReactor reactor(messages);
  stub.PrepareBidiStreamingCall(&context, path, grpc::StubOptions(), &reactor);
  reactor.Start();
  return reactor.Wait(answer);
}

}  // namespace spanlm
