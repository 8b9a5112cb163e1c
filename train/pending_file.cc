// SPDX-License-Identifier: Apache-2.0
#include "train/pending_file.h"

#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/atomic_file.h"
#include "base/status_macros.h"

namespace spanlm {
namespace {

absl::Status IoError(const std::string& path, absl::string_view what) {
  const int error = errno;
  return absl::UnavailableError(absl::StrCat(
      path, ": ", what, ": ", std::generic_category().message(error)));
}

std::string FolderOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

}  // namespace

PendingFile::PendingFile(std::string path)
    : path_(std::move(path)),
      temporary_(absl::StrFormat("%s.tmp.%d", path_, getpid())),
      file_(std::fopen(temporary_.c_str(), "w+be"), &std::fclose) {}

PendingFile::~PendingFile() {
  if (!committed_) unlink(temporary_.c_str());
}

absl::Status PendingFile::Append(absl::string_view bytes) {
  if (file_ == nullptr) return IoError(temporary_, "create");
  if (std::fwrite(bytes.data(), 1, bytes.size(), file_.get()) != bytes.size()) {
    return IoError(temporary_, "write");
  }
  return absl::OkStatus();
}

absl::Status PendingFile::Flush() {
  if (file_ == nullptr) return IoError(temporary_, "create");
  if (std::fflush(file_.get()) != 0) return IoError(temporary_, "write");
  return absl::OkStatus();
}

absl::Status PendingFile::WriteAt(int64_t offset, absl::string_view bytes) {
  SPANLM_RETURN_IF_ERROR(Flush());
  while (!bytes.empty()) {
    const ssize_t written =
        pwrite(fileno(file_.get()), bytes.data(), bytes.size(), offset);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return IoError(temporary_, "write");
    bytes.remove_prefix(static_cast<size_t>(written));
    offset += written;
  }
  return absl::OkStatus();
}

absl::Status PendingFile::ReadAt(int64_t offset, char* bytes, size_t size) {
  SPANLM_RETURN_IF_ERROR(Flush());
  while (size > 0) {
    const ssize_t got = pread(fileno(file_.get()), bytes, size, offset);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return IoError(temporary_, "read");
    if (got == 0) {
      return absl::UnavailableError(absl::StrCat(
          temporary_, ": ", size, " bytes at ", offset, " are not there"));
    }
    bytes += got;
    size -= static_cast<size_t>(got);
    offset += got;
  }
  return absl::OkStatus();
}

absl::Status PendingFile::Commit() {
  SPANLM_RETURN_IF_ERROR(Flush());
  if (fsync(fileno(file_.get())) != 0) return IoError(temporary_, "sync");
  if (std::rename(temporary_.c_str(), path_.c_str()) != 0) {
    return IoError(path_, "rename");
  }
  committed_ = true;
  return SyncFolder(FolderOf(path_));
}

}  // namespace spanlm
