// SPDX-License-Identifier: Apache-2.0
// Where a command finds its model: a model directory of ours, or a foreign
// checkpoint that is imported on the fly.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace spanlm {

// A folder of its own below the system's temporary one; removed with this.
class TemporaryFolder {
 public:
  // kUnavailable names the folder it could not make.
  static absl::StatusOr<std::unique_ptr<TemporaryFolder>> Create();
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  const std::string& path() const { return path_; }

 private:
  explicit TemporaryFolder(std::string path) : path_(std::move(path)) {}
  const std::string path_;
};

// A model directory that is there while this lives.
struct ModelSource {
  std::string model_dir;
  std::unique_ptr<TemporaryFolder> imported;  // null: the user's own directory
};

// The model at `path` with `settings` applied (fields of config.json to their
// values). A `path` "X.pt" that does not exist stands for the model directory
// X. kNotFound: neither is there; else the errors of ImportModel.
absl::StatusOr<ModelSource> FindModel(
    const std::string& path, const std::map<std::string, std::string>& settings,
    const std::string& dictionary_path = "");

// `path`, or X where `path` is "X.pt", does not exist and X does.
std::string ResolveModelPath(const std::string& path);

// Only fp32 is built into the CPU engine so far. kUnimplemented names the flag
// and the value; kInvalidArgument a value that is no format.
absl::Status CheckFormat(const std::string& flag, const std::string& format);

}  // namespace spanlm
