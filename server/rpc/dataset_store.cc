// SPDX-License-Identifier: Apache-2.0
#include "server/rpc/dataset_store.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "server/rpc/sha256.h"

namespace spanlm {
namespace {

constexpr int64_t kMaxFileDigested = int64_t{64} << 20;
constexpr int64_t kMaxTotalDigested = int64_t{1} << 30;
constexpr int64_t kReadSize = int64_t{1} << 20;
constexpr int kFolderFlags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
// O_NONBLOCK: opening a pipe that lies there must not wait for its writer.
constexpr int kFileFlags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;

absl::Status NoSuchDataset() {
  return absl::NotFoundError(
      "dataset: no file of that name below the server's data set root");
}

bool IsCleanName(absl::string_view name) {
  if (name.empty() || name.size() > DatasetStore::kMaxNameSize) return false;
  if (name.find('\0') != absl::string_view::npos) return false;
  for (const absl::string_view part : absl::StrSplit(name, '/')) {
    if (part.empty() || part == "." || part == "..") return false;
  }
  return true;
}

// Appends the regular files below `folder` to `*entries`.
void Walk(const OwnedFd& folder, const std::string& prefix, int depth,
          std::vector<DatasetStore::Entry>* entries) {
  const int fd = openat(folder.get(), ".", kFolderFlags);
  if (fd < 0) return;
  DIR* stream = fdopendir(fd);
  if (stream == nullptr) {
    close(fd);
    return;
  }
  // Each stream is this function's own, which is all that readdir asks for.
  // NOLINTNEXTLINE(concurrency-mt-unsafe)
  while (const dirent* item = readdir(stream)) {
    const std::string name = item->d_name;
    if (name == "." || name == "..") continue;
    struct stat about = {};
    if (fstatat(fd, item->d_name, &about, AT_SYMLINK_NOFOLLOW) != 0) continue;
    if (S_ISREG(about.st_mode)) {
      entries->push_back({prefix + name, about.st_size, ""});
    } else if (S_ISDIR(about.st_mode) && depth < DatasetStore::kMaxDepth) {
      const OwnedFd child(openat(fd, item->d_name, kFolderFlags));
      if (child.get() >= 0) {
        Walk(child, absl::StrCat(prefix, name, "/"), depth + 1, entries);
      }
    }
  }
  closedir(stream);
}

absl::StatusOr<std::string> DigestOf(const DatasetFile& file) {
  Sha256 sha;
  std::string bytes;
  for (int64_t offset = 0; offset < file.size_bytes(); offset += kReadSize) {
    const int64_t count = std::min(kReadSize, file.size_bytes() - offset);
    const absl::Status status = file.Read(offset, count, &bytes);
    if (!status.ok()) return status;
    sha.Update(bytes);
  }
  return sha.Hex();
}

}  // namespace

OwnedFd::~OwnedFd() {
  if (fd_ >= 0) close(fd_);
}

OwnedFd::OwnedFd(OwnedFd&& other) noexcept : fd_(other.Release()) {}

OwnedFd& OwnedFd::operator=(OwnedFd&& other) noexcept {
  if (this != &other) {
    if (fd_ >= 0) close(fd_);
    fd_ = other.Release();
  }
  return *this;
}

int OwnedFd::Release() { return std::exchange(fd_, -1); }

absl::Status DatasetFile::Read(int64_t offset, int64_t count,
                               std::string* bytes) const {
  bytes->resize(static_cast<size_t>(count));
  int64_t done = 0;
  while (done < count) {
    const ssize_t got = pread(fd_.get(), bytes->data() + done,
                              static_cast<size_t>(count - done), offset + done);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) {
      return absl::DataLossError(
          absl::StrCat("dataset: cannot read ", count, " bytes at ", offset,
                       ": the file has shrunk or the disk failed"));
    }
    done += got;
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<DatasetStore>> DatasetStore::Create(
    const std::string& root) {
  OwnedFd fd;
  if (!root.empty()) {
    // The operator's own path may be a link; what is below it may not.
    fd = OwnedFd(open(root.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (fd.get() < 0) {
      return absl::NotFoundError(
          absl::StrCat("data set root ", root, ": ",
                       std::generic_category().message(errno)));
    }
  }
  std::unique_ptr<DatasetStore> store(new DatasetStore(std::move(fd)));
  store->DigestSmallFiles();
  return store;
}

absl::StatusOr<std::unique_ptr<DatasetFile>> DatasetStore::Open(
    absl::string_view name) const {
  if (root_.get() < 0 || !IsCleanName(name)) return NoSuchDataset();
  const std::vector<std::string> parts = absl::StrSplit(name, '/');
  OwnedFd folder;
  int at = root_.get();
  for (size_t i = 0; i + 1 < parts.size(); ++i) {
    OwnedFd next(openat(at, parts[i].c_str(), kFolderFlags));
    if (next.get() < 0) return NoSuchDataset();
    folder = std::move(next);
    at = folder.get();
  }
  OwnedFd file(openat(at, parts.back().c_str(), kFileFlags));
  struct stat about = {};
  if (file.get() < 0 || fstat(file.get(), &about) != 0 ||
      !S_ISREG(about.st_mode)) {
    return NoSuchDataset();
  }
  return std::make_unique<DatasetFile>(std::move(file), about.st_size);
}

std::vector<DatasetStore::Entry> DatasetStore::List() const {
  std::vector<Entry> entries;
  if (root_.get() < 0) return entries;
  Walk(root_, "", 1, &entries);
  std::sort(entries.begin(), entries.end(),
            [](const Entry& a, const Entry& b) { return a.name < b.name; });
  MutexLock lock(&mutex_);
  for (Entry& entry : entries) {
    const auto known = digests_.find(entry.name);
    if (known != digests_.end() &&
        known->second.size_bytes == entry.size_bytes) {
      entry.digest = known->second.digest;
    }
  }
  return entries;
}

void DatasetStore::SetDigest(absl::string_view name, int64_t size_bytes,
                             const std::string& digest) {
  MutexLock lock(&mutex_);
  digests_[std::string(name)] = Known{size_bytes, digest};
}

void DatasetStore::DigestSmallFiles() {
  int64_t total = 0;
  for (const Entry& entry : List()) {
    if (entry.size_bytes > kMaxFileDigested ||
        total + entry.size_bytes > kMaxTotalDigested) {
      continue;
    }
    total += entry.size_bytes;
    const absl::StatusOr<std::unique_ptr<DatasetFile>> file = Open(entry.name);
    if (!file.ok()) continue;
    const absl::StatusOr<std::string> digest = DigestOf(**file);
    if (digest.ok()) SetDigest(entry.name, entry.size_bytes, *digest);
  }
}

}  // namespace spanlm
