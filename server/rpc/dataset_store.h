// SPDX-License-Identifier: Apache-2.0
// The files below a folder that evaluations may read.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/mutex.h"

namespace spanlm {

// A file descriptor that closes itself. Move-only.
class OwnedFd {
 public:
  OwnedFd() = default;
  explicit OwnedFd(int fd) : fd_(fd) {}
  ~OwnedFd();
  OwnedFd(OwnedFd&& other) noexcept;
  OwnedFd& operator=(OwnedFd&& other) noexcept;

  int get() const { return fd_; }
  // Gives up the descriptor without closing it.
  int Release();

 private:
  int fd_ = -1;
};

// What tells a file's contents from others under its name, short of reading
// them.
struct FileStamp {
  int64_t size_bytes = 0;
  uint64_t inode = 0;
  int64_t modified_seconds = 0;
  int64_t modified_nanos = 0;

  bool operator==(const FileStamp& other) const {
    return size_bytes == other.size_bytes && inode == other.inode &&
           modified_seconds == other.modified_seconds &&
           modified_nanos == other.modified_nanos;
  }
};

// An open, regular file. Thread-safe.
class DatasetFile {
 public:
  DatasetFile(OwnedFd fd, const FileStamp& stamp)
      : fd_(std::move(fd)), stamp_(stamp) {}

  // As it was opened.
  const FileStamp& stamp() const { return stamp_; }
  // Replaces `*bytes` by those from `offset` on, `count` of them, and has the
  // system fetch as many behind them. kDataLoss if the file has shrunk or
  // cannot be read.
  absl::Status Read(int64_t offset, int64_t count, std::string* bytes) const;

 private:
  OwnedFd fd_;
  FileStamp stamp_;
};

// Thread-safe.
class DatasetStore {
 public:
  struct Entry {
    std::string name;  // path below the root
    FileStamp stamp;
    std::string digest;  // SHA-256 in hex; empty if not known
  };

  static constexpr size_t kMaxNameSize = 1024;
  static constexpr int kMaxDepth = 16;

  // `root` empty: a store without files. kNotFound names a root that is not a
  // readable folder.
  static absl::StatusOr<std::unique_ptr<DatasetStore>> Create(
      const std::string& root);

  // Digests the files of up to 64 MiB, up to 1 GiB in all, and logs how many
  // names List leaves out.
  void DigestSmallFiles() ABSL_LOCKS_EXCLUDED(mutex_);

  // Resolves `name` part by part from the root and follows no link, so that
  // nothing outside it can be had. kNotFound for a name that leads to no
  // regular file, whatever the reason, or has a part "..", a leading "/", a
  // NUL or more than kMaxNameSize bytes.
  absl::StatusOr<std::unique_ptr<DatasetFile>> Open(
      absl::string_view name) const;

  // All regular files at most kMaxDepth folders down, by name, but for those
  // whose names are no UTF-8: no message can carry them.
  std::vector<Entry> List() const ABSL_LOCKS_EXCLUDED(mutex_);

  // Remembers the digest that an evaluation found of a whole file.
  void SetDigest(absl::string_view name, const FileStamp& stamp,
                 const std::string& digest) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  explicit DatasetStore(OwnedFd root) : root_(std::move(root)) {}
  std::vector<Entry> ListAndCount(int64_t* skipped_count) const
      ABSL_LOCKS_EXCLUDED(mutex_);

  struct Known {
    FileStamp stamp;
    std::string digest;
  };

  const OwnedFd root_;
  mutable Mutex mutex_;
  std::map<std::string, Known> digests_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace spanlm
