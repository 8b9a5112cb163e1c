// SPDX-License-Identifier: Apache-2.0
#include "engine/checkpoint/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace spanlm {
namespace {

absl::Status SystemError(const std::string& path, absl::string_view what,
                         int error) {
  if (error == ENOENT || error == ENOTDIR) {
    return absl::NotFoundError(absl::StrCat(path, ": no such file"));
  }
  return absl::UnavailableError(absl::StrCat(
      path, ": ", what, ": ", absl::ErrnoToStatus(error, "").message()));
}

}  // namespace

absl::StatusOr<MappedFile> MappedFile::Open(const std::string& path) {
  // Without O_NONBLOCK opening a pipe would wait for its writer.
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (file < 0) return SystemError(path, "open", errno);
  struct stat facts {};
  void* start = nullptr;
  absl::Status status;
  if (fstat(file, &facts) != 0) {
    status = SystemError(path, "stat", errno);
  } else if (!S_ISREG(facts.st_mode)) {
    status = absl::NotFoundError(absl::StrCat(path, ": not a regular file"));
  } else if (facts.st_size > 0) {
    start = mmap(nullptr, static_cast<size_t>(facts.st_size), PROT_READ,
                 MAP_PRIVATE, file, 0);
    if (start == MAP_FAILED) status = SystemError(path, "map", errno);
  }
  close(file);
  if (!status.ok()) return status;
  return MappedFile({static_cast<const std::byte*>(start),
                     static_cast<size_t>(facts.st_size)});
}

MappedFile::~MappedFile() {
  if (bytes_.empty()) return;
  munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : bytes_(std::exchange(other.bytes_, {})) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(bytes_, other.bytes_);
  return *this;
}

}  // namespace spanlm
