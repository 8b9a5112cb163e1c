// SPDX-License-Identifier: Apache-2.0
#include "engine/checkpoint/model_dir.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/atomic_file.h"
#include "base/status_macros.h"
#include "engine/checkpoint/digest.h"
#include "engine/checkpoint/mapped_file.h"
#include "engine/checkpoint/model_tensors.h"

namespace spanlm {
namespace {

constexpr char kConfigFile[] = "config.json";
constexpr char kWeightsFile[] = "model.safetensors";
constexpr size_t kMaxConfigSize = size_t{1} << 22;  // 65535 symbols fit

absl::Status IoError(const std::string& path, absl::string_view what) {
  const int error = errno;
  return absl::UnavailableError(absl::StrCat(
      path, ": ", what, ": ", absl::ErrnoToStatus(error, "").message()));
}

absl::Status Damaged(const std::string& path, const absl::Status& status) {
  const absl::StatusCode code =
      status.code() == absl::StatusCode::kInvalidArgument
          ? absl::StatusCode::kDataLoss
          : status.code();
  return absl::Status(code, absl::StrCat(path, ": ", status.message()));
}

std::vector<TensorView> AllViews(const TensorSource& source) {
  std::vector<TensorView> views;
  for (const std::string& name : source.names()) {
    views.push_back(*source.Find(name));
  }
  return views;
}

constexpr absl::string_view kTemporaryMark = ".tmp-";

// A folder that is removed with this, unless it was moved away.
class TemporaryFolder {
 public:
  static absl::StatusOr<TemporaryFolder> CreateBeside(const std::string& path) {
    std::string name = absl::StrCat(path, kTemporaryMark, "XXXXXX");
    if (mkdtemp(name.data()) == nullptr) return IoError(name, "create folder");
    TemporaryFolder folder(name);
    if (chmod(name.c_str(), 0755) != 0) return IoError(name, "set mode");
    return folder;
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
  }
  TemporaryFolder(TemporaryFolder&& other) noexcept
      : path_(std::exchange(other.path_, {})) {}
  TemporaryFolder& operator=(TemporaryFolder&&) = delete;

  const std::string& path() const { return path_; }

 private:
  explicit TemporaryFolder(std::string path) : path_(std::move(path)) {}
  std::string path_;
};

// Puts `folder` at `path`; what was there is then at `folder`'s old name.
absl::Status SwapIn(const std::string& folder, const std::string& path) {
  std::error_code error;
  const bool replaces = std::filesystem::exists(path, error);
  if (renameat2(AT_FDCWD, folder.c_str(), AT_FDCWD, path.c_str(),
                replaces ? RENAME_EXCHANGE : 0) != 0) {
    if (!replaces || (errno != EINVAL && errno != ENOSYS)) {
      return IoError(path, "rename");
    }
    // A file system that cannot exchange: two renames, the old one beside the
    // new one in between.
    const std::string old = folder + ".old";
    if (rename(path.c_str(), old.c_str()) != 0) return IoError(path, "rename");
    if (rename(folder.c_str(), path.c_str()) != 0) {
      const absl::Status status = IoError(path, "rename");
      rename(old.c_str(), path.c_str());
      return status;
    }
    rename(old.c_str(), folder.c_str());
  }
  const std::filesystem::path parent =
      std::filesystem::path(path).parent_path();
  return SyncFolder(parent.empty() ? "." : parent.string());
}

// Replacing a folder removes what was in it, so it had better be a model.
absl::Status CheckReplaceable(const std::string& path) {
  std::error_code error;
  if (!std::filesystem::exists(path, error)) return absl::OkStatus();
  if (!std::filesystem::is_directory(path, error)) {
    return absl::FailedPreconditionError(
        absl::StrCat(path, ": there is a file of this name"));
  }
  if (std::filesystem::is_empty(path, error) ||
      std::filesystem::exists(absl::StrCat(path, "/", kConfigFile), error)) {
    return absl::OkStatus();
  }
  return absl::FailedPreconditionError(absl::StrCat(
      path, ": holds files but no ", kConfigFile, ": will not replace it"));
}

absl::Status CheckExtraName(const std::string& name) {
  if (!name.empty() && name != "." && name != ".." && name != kConfigFile &&
      name != kWeightsFile && name.find('/') == std::string::npos &&
      name.find('\0') == std::string::npos) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat("extra file \"", name, "\": not a name of its own"));
}

// The text of config.json, with the weights' digest in it.
absl::StatusOr<std::string> CheckedConfig(const ModelContents& contents,
                                          absl::string_view weights) {
  ModelFields fields = contents.fields;
  fields.weights_sha256 = Sha256Hex(weights);
  SPANLM_ASSIGN_OR_RETURN(const ModelConfig config,
                          ModelConfig::Create(std::move(fields)));
  std::vector<TensorView> views;
  for (const TensorData& tensor : contents.tensors) {
    views.push_back(tensor.view());
  }
  const absl::StatusOr<int64_t> count = CountParameters(config, views);
  if (!count.ok()) return absl::InvalidArgumentError(count.status().message());
  for (const auto& [name, bytes] : contents.extra_files) {
    SPANLM_RETURN_IF_ERROR(CheckExtraName(name));
  }
  return config.ToJson();
}

}  // namespace

absl::StatusOr<ModelDir> ModelDir::Open(const std::string& path) {
  const std::string config_path = absl::StrCat(path, "/", kConfigFile);
  const std::string weights_path = absl::StrCat(path, "/", kWeightsFile);
  SPANLM_ASSIGN_OR_RETURN(const MappedFile file, MappedFile::Open(config_path));
  const absl::string_view text(
      reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
  if (text.size() > kMaxConfigSize) {
    return absl::DataLossError(absl::StrCat(config_path, ": ", text.size(),
                                            " bytes, want at most ",
                                            kMaxConfigSize));
  }
  absl::StatusOr<ModelConfig> config = ModelConfig::FromJson(text);
  if (!config.ok()) return Damaged(config_path, config.status());
  SPANLM_ASSIGN_OR_RETURN(Safetensors weights, Safetensors::Open(weights_path));
  const std::string digest = Sha256Hex(weights.bytes());
  if (digest != (*config)->weights_sha256) {
    return absl::DataLossError(
        absl::StrCat(weights_path, ": its SHA-256 is ", digest, ", want ",
                     (*config)->weights_sha256, " (", kConfigFile, ")"));
  }
  const absl::StatusOr<int64_t> count =
      CountParameters(*config, AllViews(weights));
  if (!count.ok()) return Damaged(weights_path, count.status());
  return ModelDir({path, Sha256Hex(text), *count}, *std::move(config),
                  std::move(weights));
}

absl::StatusOr<TensorView> ModelDir::Find(absl::string_view name) const {
  return weights_.Find(name);
}

std::vector<std::string> ModelDir::names() const { return weights_.names(); }

absl::Status WriteModelDir(const std::string& path, ModelContents contents) {
  SPANLM_ASSIGN_OR_RETURN(const std::string weights,
                          SerializeSafetensors(contents.tensors));
  SPANLM_ASSIGN_OR_RETURN(const std::string config,
                          CheckedConfig(contents, weights));
  contents.tensors.clear();  // half the memory while the disk is busy
  std::string target = path;
  while (target.size() > 1 && target.back() == '/') target.pop_back();
  SPANLM_RETURN_IF_ERROR(CheckReplaceable(target));

  SPANLM_ASSIGN_OR_RETURN(const TemporaryFolder folder,
                          TemporaryFolder::CreateBeside(target));
  contents.extra_files[kConfigFile] = config;
  for (const auto& [name, bytes] : contents.extra_files) {
    SPANLM_RETURN_IF_ERROR(
        WriteFileAtomically(absl::StrCat(folder.path(), "/", name), bytes));
  }
  SPANLM_RETURN_IF_ERROR(WriteFileAtomically(
      absl::StrCat(folder.path(), "/", kWeightsFile), weights));
  return SwapIn(folder.path(), target);
}

absl::Status LinkModelDir(const std::string& from, const std::string& to) {
  SPANLM_RETURN_IF_ERROR(CheckReplaceable(to));
  SPANLM_ASSIGN_OR_RETURN(const TemporaryFolder folder,
                          TemporaryFolder::CreateBeside(to));
  std::error_code error;
  for (std::filesystem::directory_iterator entry(from, error);
       !error && entry != std::filesystem::directory_iterator();) {
    const std::filesystem::path target =
        folder.path() / entry->path().filename();
    std::filesystem::create_hard_link(entry->path(), target, error);
    if (error) std::filesystem::copy_file(entry->path(), target, error);
    if (!error) entry.increment(error);
  }
  if (error) {
    return absl::UnavailableError(
        absl::StrCat(to, ": link to ", from, ": ", error.message()));
  }
  SPANLM_RETURN_IF_ERROR(SyncFolder(folder.path()));
  return SwapIn(folder.path(), to);
}

absl::Status RemoveUnfinishedModelDirs(const std::string& folder) {
  std::error_code error;
  std::vector<std::filesystem::path> unfinished;
  for (std::filesystem::directory_iterator entry(folder, error);
       !error && entry != std::filesystem::directory_iterator();
       entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    std::error_code unknown;  // gone meanwhile, perhaps
    if (absl::StrContains(name, kTemporaryMark) &&
        entry->is_directory(unknown)) {
      unfinished.push_back(entry->path());
    }
  }
  for (const std::filesystem::path& path : unfinished) {
    if (!error) std::filesystem::remove_all(path, error);
  }
  if (!error) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat(folder, ": ", error.message()));
}

}  // namespace spanlm
