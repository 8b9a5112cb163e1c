// SPDX-License-Identifier: Apache-2.0
#include "server/rpc/dataset_store.h"

#include <dirent.h>
#include <fcntl.h>
#include <google/protobuf/stubs/common.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/log.h"
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

FileStamp StampOf(const struct stat& about) {
  return {about.st_size, about.st_ino, about.st_mtim.tv_sec,
          about.st_mtim.tv_nsec};
}

// What a folder tree holds.
struct Listing {
  std::vector<DatasetStore::Entry> entries;
  int64_t skipped_count = 0;  // names that are no UTF-8
};

// Adds the regular files below `folder` to `*listing`.
void Walk(const OwnedFd& folder, const std::string& prefix, int depth,
          Listing* listing) {
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
    // The parser's own check: a message with other names would be refused.
    if (!google::protobuf::internal::IsStructurallyValidUTF8(name)) {
      ++listing->skipped_count;
      continue;
    }
    if (S_ISREG(about.st_mode)) {
      listing->entries.push_back({prefix + name, StampOf(about), ""});
    } else if (S_ISDIR(about.st_mode) && depth < DatasetStore::kMaxDepth) {
      const OwnedFd child(openat(fd, item->d_name, kFolderFlags));
      if (child.get() >= 0) {
        Walk(child, absl::StrCat(prefix, name, "/"), depth + 1, listing);
      }
    }
  }
  closedir(stream);
}

absl::StatusOr<std::string> DigestOf(const DatasetFile& file) {
  Sha256 sha;
  std::string bytes;
  const int64_t size = file.stamp().size_bytes;
  for (int64_t offset = 0; offset < size; offset += kReadSize) {
    const int64_t count = std::min(kReadSize, size - offset);
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
  // A hint, whose failure costs nothing.
  posix_fadvise(fd_.get(), offset + count, count, POSIX_FADV_WILLNEED);
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
  return std::unique_ptr<DatasetStore>(new DatasetStore(std::move(fd)));
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
  return std::make_unique<DatasetFile>(std::move(file), StampOf(about));
}

std::vector<DatasetStore::Entry> DatasetStore::List() const {
  int64_t ignored = 0;
  return ListAndCount(&ignored);
}

std::vector<DatasetStore::Entry> DatasetStore::ListAndCount(
    int64_t* skipped_count) const {
  if (root_.get() < 0) return {};
  Listing listing;
  Walk(root_, "", 1, &listing);
  *skipped_count = listing.skipped_count;
  std::vector<Entry> entries = std::move(listing.entries);
  std::sort(entries.begin(), entries.end(),
            [](const Entry& a, const Entry& b) { return a.name < b.name; });
  MutexLock lock(&mutex_);
  for (Entry& entry : entries) {
    const auto known = digests_.find(entry.name);
    if (known != digests_.end() && known->second.stamp == entry.stamp) {
      entry.digest = known->second.digest;
    }
  }
  return entries;
}

void DatasetStore::SetDigest(absl::string_view name, const FileStamp& stamp,
                             const std::string& digest) {
  MutexLock lock(&mutex_);
  digests_[std::string(name)] = Known{stamp, digest};
}

void DatasetStore::DigestSmallFiles() {
  int64_t total = 0;
  int64_t skipped_count = 0;
  for (const Entry& entry : ListAndCount(&skipped_count)) {
    const int64_t size = entry.stamp.size_bytes;
    if (size > kMaxFileDigested || total + size > kMaxTotalDigested) continue;
    total += size;
    const absl::StatusOr<std::unique_ptr<DatasetFile>> file = Open(entry.name);
    if (!file.ok()) continue;
    const absl::StatusOr<std::string> digest = DigestOf(**file);
    if (digest.ok()) SetDigest(entry.name, (*file)->stamp(), *digest);
  }
  if (skipped_count > 0) {
    Log(LogLevel::kWarning, "dataset_names_are_no_utf8",
        {{"count", skipped_count}});
  }
}

}  // namespace spanlm
