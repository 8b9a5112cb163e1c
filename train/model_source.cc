// SPDX-License-Identifier: Apache-2.0
#include "train/model_source.h"

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "engine/checkpoint/import/import.h"
#include "engine/checkpoint/model_dir.h"

namespace spanlm {
namespace {

// False where the file system does not say.
bool Exists(const std::string& path) {
  std::error_code error;
  return std::filesystem::exists(path, error);
}

bool IsFolder(const std::string& path) {
  std::error_code error;
  return std::filesystem::is_directory(path, error);
}

bool IsModelDir(const std::string& path) {
  return IsFolder(path) && Exists(path + "/model.safetensors");
}

}  // namespace

absl::StatusOr<std::unique_ptr<TemporaryFolder>> TemporaryFolder::Create() {
  std::error_code error;
  const std::filesystem::path parent =
      std::filesystem::temp_directory_path(error);
  std::string name = (parent / "spanlm-import-XXXXXX").string();
  if (!error && mkdtemp(name.data()) == nullptr) {
    error.assign(errno, std::generic_category());
  }
  if (error) {
    return absl::UnavailableError(
        absl::StrCat(name, ": create folder: ", error.message()));
  }
  return std::unique_ptr<TemporaryFolder>(new TemporaryFolder(name));
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::string ResolveModelPath(const std::string& path) {
  if (Exists(path) || !absl::EndsWith(path, ".pt")) return path;
  const std::string folder = path.substr(0, path.size() - 3);
  return IsFolder(folder) ? folder : path;
}

absl::StatusOr<ModelSource> FindModel(
    const std::string& path, const std::map<std::string, std::string>& settings,
    const std::string& dictionary_path) {
  const std::string resolved = ResolveModelPath(path);
  if (!Exists(resolved)) {
    return absl::NotFoundError(absl::StrCat(path, ": no such model"));
  }
  if (IsModelDir(resolved) && settings.empty()) {
    return ModelSource{resolved, nullptr};
  }
  ImportOptions options;
  options.dictionary_path = dictionary_path;
  options.settings = settings;
  SPANLM_ASSIGN_OR_RETURN(ModelContents contents,
                          ImportModel(resolved, options));
  SPANLM_ASSIGN_OR_RETURN(std::unique_ptr<TemporaryFolder> folder,
                          TemporaryFolder::Create());
  const std::string model_dir = folder->path() + "/model";
  SPANLM_RETURN_IF_ERROR(WriteModelDir(model_dir, std::move(contents)));
  return ModelSource{model_dir, std::move(folder)};
}

absl::Status CheckFormat(const std::string& flag, const std::string& format) {
  if (format == "fp32") return absl::OkStatus();
  if (format == "bf16" || format == "int8") {
    return absl::UnimplementedError(
        absl::StrCat("--", flag, " ", format, ": this build holds fp32 only"));
  }
  return absl::InvalidArgumentError(
      absl::StrCat("--", flag, " ", format, ": want fp32, bf16 or int8"));
}

}  // namespace spanlm
