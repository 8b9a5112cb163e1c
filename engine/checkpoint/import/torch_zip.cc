// SPDX-License-Identifier: Apache-2.0
#include <zip.h>

#include <algorithm>
#include <cstdint>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "engine/checkpoint/import/torch_containers.h"

namespace spanlm {
namespace {

constexpr char kObjectName[] = "data.pkl";
constexpr uint64_t kMaxPickleSize = uint64_t{1} << 28;

struct CloseArchive {
  void operator()(zip_t* archive) const { zip_discard(archive); }
};
struct CloseEntry {
  void operator()(zip_file_t* entry) const { zip_fclose(entry); }
};
using Archive = std::unique_ptr<zip_t, CloseArchive>;

// An entry of at most `max_size` bytes; torch.save never compresses, so what
// an entry claims to hold must lie in the file.
absl::StatusOr<std::string> ReadEntry(zip_t* archive, const std::string& name,
                                      uint64_t max_size) {
  const auto damaged = [&](absl::string_view what) {
    return absl::DataLossError(absl::StrCat("entry ", name, ": ", what));
  };
  zip_stat_t facts;
  if (zip_stat(archive, name.c_str(), 0, &facts) != 0) {
    return absl::DataLossError(absl::StrCat("entry ", name, " is missing"));
  }
  constexpr zip_uint64_t kNeeded =
      ZIP_STAT_SIZE | ZIP_STAT_COMP_SIZE | ZIP_STAT_COMP_METHOD;
  if ((facts.valid & kNeeded) != kNeeded || facts.comp_method != ZIP_CM_STORE ||
      facts.comp_size != facts.size) {
    return damaged("compressed, which torch.save never does");
  }
  if (facts.size > max_size) {
    return damaged(absl::StrCat(facts.size, " bytes, want at most ", max_size));
  }
  const std::unique_ptr<zip_file_t, CloseEntry> entry(
      zip_fopen(archive, name.c_str(), 0));
  if (entry == nullptr) return damaged(zip_strerror(archive));
  std::string bytes(facts.size, '\0');
  // One byte more than there is: the checksum is compared at the end.
  uint64_t done = 0;
  while (done < bytes.size()) {
    const zip_int64_t count =
        zip_fread(entry.get(), bytes.data() + done, bytes.size() - done);
    if (count <= 0) {
      return damaged(count == 0 ? "ends early"
                                : zip_file_strerror(entry.get()));
    }
    done += static_cast<uint64_t>(count);
  }
  char beyond = 0;
  const zip_int64_t rest = zip_fread(entry.get(), &beyond, 1);
  if (rest != 0) {
    return damaged(rest > 0 ? "longer than it says"
                            : zip_file_strerror(entry.get()));
  }
  return bytes;
}

class ZipStorages : public StorageReader {
 public:
  ZipStorages(Archive archive, std::string folder, uint64_t file_size)
      : archive_(std::move(archive)),
        folder_(std::move(folder)),
        file_size_(file_size) {}

  absl::StatusOr<absl::string_view> Read(const std::string& key,
                                         int64_t size) override {
    // Tensors that share a storage usually stand side by side.
    if (!has_last_ || key != last_key_) {
      has_last_ = false;
      SPANLM_ASSIGN_OR_RETURN(
          last_, ReadEntry(archive_.get(), absl::StrCat(folder_, "data/", key),
                           std::min(static_cast<uint64_t>(size), file_size_)));
      last_key_ = key;
      has_last_ = true;
    }
    if (last_.size() != static_cast<uint64_t>(size)) {
      return absl::DataLossError(absl::StrCat(
          "storage ", key, " has ", last_.size(), " bytes, want ", size));
    }
    return last_;
  }

 private:
  Archive archive_;
  std::string folder_;  // of the archive, "NAME/"
  uint64_t file_size_;  // no entry has more, whatever it claims
  std::string last_key_;
  std::string last_;
  bool has_last_ = false;
};

// The name of the archive's one folder, with its slash.
absl::StatusOr<std::string> FindFolder(zip_t* archive) {
  const zip_int64_t count = zip_get_num_entries(archive, 0);
  for (zip_int64_t i = 0; i < count; ++i) {
    const char* name = zip_get_name(archive, static_cast<zip_uint64_t>(i), 0);
    if (name == nullptr) continue;
    const absl::string_view text = name;
    if (absl::EndsWith(text, absl::StrCat("/", kObjectName))) {
      return std::string(text.substr(0, text.size() + 1 - sizeof(kObjectName)));
    }
  }
  return absl::FailedPreconditionError(absl::StrCat(
      "a zip archive without ", kObjectName, ", so not one of torch.save"));
}

}  // namespace

absl::StatusOr<TorchContents> OpenTorchZip(const std::string& path,
                                           uint64_t file_size) {
  int code = 0;
  Archive archive(zip_open(path.c_str(), ZIP_RDONLY, &code));
  if (archive == nullptr) {
    zip_error_t error;
    zip_error_init_with_code(&error, code);
    const std::string what = zip_error_strerror(&error);
    zip_error_fini(&error);
    return absl::DataLossError(absl::StrCat("damaged zip archive: ", what));
  }
  SPANLM_ASSIGN_OR_RETURN(std::string folder, FindFolder(archive.get()));
  const std::string order_name = absl::StrCat(folder, "byteorder");
  if (zip_name_locate(archive.get(), order_name.c_str(), 0) >= 0) {
    SPANLM_ASSIGN_OR_RETURN(const std::string order,
                            ReadEntry(archive.get(), order_name, 16));
    if (order != "little") {
      return absl::FailedPreconditionError("written big-endian");
    }
  }
  SPANLM_ASSIGN_OR_RETURN(
      const std::string pickle,
      ReadEntry(archive.get(), absl::StrCat(folder, kObjectName),
                std::min(kMaxPickleSize, file_size)));
  SPANLM_ASSIGN_OR_RETURN(Pickle object, Pickle::Parse(pickle));
  return TorchContents{std::move(object),
                       std::make_unique<ZipStorages>(
                           std::move(archive), std::move(folder), file_size)};
}

}  // namespace spanlm
