// SPDX-License-Identifier: Apache-2.0
#include "train/text_chunks.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/check.h"
#include "base/mutex.h"
#include "base/status_macros.h"
#include "train/raw_corpus_writer.h"

namespace spanlm {
namespace {

bool IsCut(char c) { return c == ' ' || c == '\n' || c == '\t'; }

// The file's chunks: number k begins at the first place from k chunk_bytes on
// that follows a cut, or at the file's end. Thread-safe.
class TextFile {
 public:
  TextFile(const std::string& path, int64_t size,
           const TextChunkOptions& options)
      : path_(path),
        size_(size),
        chunk_bytes_(options.chunk_bytes),
        max_word_bytes_(options.max_word_bytes),
        file_(open(path.c_str(), O_RDONLY | O_CLOEXEC)),
        open_error_(errno) {}
  ~TextFile() {
    if (file_ >= 0) close(file_);
  }
  TextFile(const TextFile&) = delete;
  TextFile& operator=(const TextFile&) = delete;

  int64_t count() const { return (size_ + chunk_bytes_ - 1) / chunk_bytes_; }

  // The text is in `buffer`.
  absl::StatusOr<absl::string_view> Read(int64_t chunk,
                                         std::string* buffer) const {
    // One byte earlier, where a cut may be that this chunk begins behind.
    const int64_t from = std::max<int64_t>(0, chunk * chunk_bytes_ - 1);
    const int64_t behind = std::min(size_, (chunk + 1) * chunk_bytes_);
    const int64_t to = std::min(size_, behind + max_word_bytes_);
    buffer->resize(static_cast<size_t>(to - from));
    SPANLM_RETURN_IF_ERROR(ReadBytes(from, buffer));
    int64_t begin = 0;
    if (chunk > 0) {
      SPANLM_ASSIGN_OR_RETURN(begin, CutFrom(from, from, *buffer));
    }
    int64_t end = size_;
    if (behind < size_) {
      SPANLM_ASSIGN_OR_RETURN(end, CutFrom(behind - 1, from, *buffer));
    }
    return absl::string_view(*buffer).substr(static_cast<size_t>(begin - from),
                                             static_cast<size_t>(end - begin));
  }

 private:
  absl::Status ReadBytes(int64_t offset, std::string* buffer) const {
    if (file_ < 0) return SystemError("open", open_error_);
    size_t done = 0;
    while (done < buffer->size()) {
      const ssize_t got =
          pread(file_, buffer->data() + done, buffer->size() - done,
                offset + static_cast<int64_t>(done));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return SystemError("read", errno);
      if (got == 0) {
        return absl::UnavailableError(
            absl::StrFormat("%s: ends at byte %d, had %d bytes", path_,
                            offset + static_cast<int64_t>(done), size_));
      }
      done += static_cast<size_t>(got);
    }
    return absl::OkStatus();
  }

  absl::Status SystemError(absl::string_view what, int error) const {
    return absl::UnavailableError(absl::StrCat(
        path_, ": ", what, ": ", absl::ErrnoToStatus(error, "").message()));
  }

  // The place behind the first cut at or after `place`; `buffer` begins at
  // `from`.
  absl::StatusOr<int64_t> CutFrom(int64_t place, int64_t from,
                                  const std::string& buffer) const {
    const auto cut =
        std::find_if(buffer.begin() + (place - from), buffer.end(), IsCut);
    if (cut != buffer.end()) return from + (cut - buffer.begin()) + 1;
    if (from + static_cast<int64_t>(buffer.size()) == size_) return size_;
    return absl::DataLossError(
        absl::StrFormat("%s: no blank and no line end in the %d bytes from "
                        "byte %d on: not a text of words",
                        path_, max_word_bytes_, place + 1));
  }

  const std::string& path_;
  const int64_t size_;
  const int64_t chunk_bytes_;
  const int64_t max_word_bytes_;
  const int file_;
  const int open_error_;  // where file_ is negative
};

// Lets the threads through in the order of the chunks. Thread-safe.
class Turns {
 public:
  // Waits until all chunks before `chunk` are done, then calls `commit`; false
  // if it or one before it failed.
  template <typename Commit>
  bool Take(int64_t chunk, const Commit& commit) ABSL_LOCKS_EXCLUDED(mutex_) {
    MutexLock lock(&mutex_);
    while (next_ != chunk && status_.ok()) done_.Wait(&mutex_);
    if (status_.ok()) status_ = commit();
    ++next_;
    done_.NotifyAll();
    return status_.ok();
  }

  absl::Status status() ABSL_LOCKS_EXCLUDED(mutex_) {
    MutexLock lock(&mutex_);
    return status_;
  }

 private:
  Mutex mutex_;
  CondVar done_;
  int64_t next_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::Status status_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace

absl::Status ReadTextChunks(
    const std::string& path, const TextChunkOptions& options,
    const std::function<absl::Status(int, absl::string_view)>& work,
    const std::function<absl::Status(int, int64_t)>& commit) {
  SPANLM_CHECK(options.threads >= 1 && options.chunk_bytes >= 1);
  SPANLM_ASSIGN_OR_RETURN(const int64_t size, FileSize(path));
  const TextFile file(path, size, options);
  std::atomic<int64_t> next{0};
  Turns turns;
  const auto read = [&](int thread) {
    std::string buffer;
    for (;;) {
      const int64_t chunk = next.fetch_add(1);
      if (chunk >= file.count()) return;
      const absl::StatusOr<absl::string_view> text = file.Read(chunk, &buffer);
      absl::Status status =
          text.ok() ? work(thread, *text) : absl::Status(text.status());
      const auto finish = [&] {
        if (!status.ok()) return status;
        return commit(thread, static_cast<int64_t>(text->size()));
      };
      if (!turns.Take(chunk, finish)) return;
    }
  };
  std::vector<std::thread> others;
  for (int thread = 1; thread < options.threads; ++thread) {
    others.emplace_back(read, thread);
  }
  read(0);
  for (std::thread& other : others) other.join();
  return turns.status();
}

}  // namespace spanlm
