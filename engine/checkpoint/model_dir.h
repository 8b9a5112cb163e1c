// SPDX-License-Identifier: Apache-2.0
// A model directory: config.json and model.safetensors, plus whatever files a
// trainer adds (docs/model-directory.md).
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/checkpoint/safetensors.h"
#include "engine/model_config.h"
#include "engine/tensor_view.h"

namespace spanlm {

// A checked, mapped model. Views stay valid while it lives. Immutable; movable.
class ModelDir : public TensorSource {
 public:
  // Reads and checks config, digests, and that every tensor the architecture
  // needs is there in its shape. kNotFound: no such folder or file;
  // kFailedPrecondition: another format version; kDataLoss: digest mismatch,
  // a truncated file, a missing or misshapen tensor (each named).
  static absl::StatusOr<ModelDir> Open(const std::string& path);

  const ModelConfig& config() const { return config_; }
  // SHA-256 of config.json's bytes in hex; names the model, as config.json
  // holds the digest of the weights.
  const std::string& digest() const { return facts_.digest; }
  const std::string& path() const { return facts_.path; }
  // Buffers not counted.
  int64_t parameter_count() const { return facts_.parameter_count; }

  absl::StatusOr<TensorView> Find(absl::string_view name) const override;
  std::vector<std::string> names() const override;

 private:
  struct Facts {
    std::string path;
    std::string digest;
    int64_t parameter_count = 0;
  };

  ModelDir(Facts facts, ModelConfig config, Safetensors weights)
      : facts_(std::move(facts)),
        config_(std::move(config)),
        weights_(std::move(weights)) {}

  Facts facts_;
  ModelConfig config_;
  Safetensors weights_;
};

// What a model directory is written from.
struct ModelContents {
  ModelFields fields;  // weights_sha256 is filled in by the writer
  std::vector<TensorData> tensors;
  std::map<std::string, std::string> extra_files;  // name to bytes
  // An import's: the source does not hold the ramp, which is then its family's.
  bool is_ramp_assumed = false;
};

// Writes everything to a temporary folder beside `path`, syncs it and swaps it
// in: after a crash `path` holds the old model or the new one, whole. (Where
// the file system cannot exchange two names, as NFS, a crash between two
// renames leaves both beside `path`.) A failure leaves the old one untouched.
// kInvalidArgument: the contents do not make a model; kFailedPrecondition:
// `path` holds something else than a model; kUnavailable: I/O.
absl::Status WriteModelDir(const std::string& path, ModelContents contents);

// Gives the model directory `from` a second name, `to`, in the same folder's
// file system and as whole as WriteModelDir: hard links to the same files,
// copies where there can be none. WriteModelDir's errors but kInvalidArgument.
absl::Status LinkModelDir(const std::string& from, const std::string& to);

// Removes what writes that were cut off left below `folder`. kUnavailable: I/O.
absl::Status RemoveUnfinishedModelDirs(const std::string& folder);

}  // namespace spanlm
