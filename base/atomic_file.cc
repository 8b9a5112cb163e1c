// SPDX-License-Identifier: Apache-2.0
#include "base/atomic_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/status_macros.h"

namespace spanlm {
namespace {

absl::Status IoError(const std::string& path, absl::string_view what) {
  const int error = errno;
  return absl::UnavailableError(
      absl::ErrnoToStatus(error, absl::StrCat(path, ": ", what)).message());
}

absl::Status WriteAll(int file, const std::string& path,
                      absl::string_view data) {
  while (!data.empty()) {
    const ssize_t written = write(file, data.data(), data.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return IoError(path, "write");
    data.remove_prefix(static_cast<size_t>(written));
  }
  if (fsync(file) != 0) return IoError(path, "sync");
  return absl::OkStatus();
}

}  // namespace

absl::Status SyncFolder(const std::string& path) {
  const int folder = open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) return IoError(path, "open folder");
  const bool synced = fsync(folder) == 0;
  absl::Status status =
      synced ? absl::OkStatus() : IoError(path, "sync folder");
  close(folder);
  return status;
}

absl::Status WriteFileAtomically(const std::string& path,
                                 absl::string_view data) {
  const std::string temporary = absl::StrFormat("%s.tmp.%d", path, getpid());
  const int file =
      open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (file < 0) return IoError(temporary, "create");
  absl::Status status = WriteAll(file, temporary, data);
  if (close(file) != 0 && status.ok()) status = IoError(temporary, "close");
  if (status.ok() && rename(temporary.c_str(), path.c_str()) != 0) {
    status = IoError(path, "rename");
  }
  if (!status.ok()) {
    unlink(temporary.c_str());
    return status;
  }
  const size_t slash = path.rfind('/');
  return SyncFolder(slash == std::string::npos ? "."
                    : slash == 0               ? "/"
                                               : path.substr(0, slash));
}

}  // namespace spanlm
