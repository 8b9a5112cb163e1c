// SPDX-License-Identifier: Apache-2.0
// A model directory: config.json and model.safetensors, plus whatever files a
// trainer adds (docs/model-directory.md).
#pragma once

#include <map>
#include <memory>
#include <string>
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
  const std::string& digest() const { return digest_; }
  const std::string& path() const { return path_; }
  int64_t parameter_count() const;  // buffers not counted

  absl::StatusOr<TensorView> Find(absl::string_view name) const override;
  std::vector<std::string> names() const override;

 private:
  ModelDir(std::string path, std::string digest, ModelConfig config,
           Safetensors weights)
      : path_(std::move(path)),
        digest_(std::move(digest)),
        config_(std::move(config)),
        weights_(std::move(weights)) {}

  std::string path_;
  std::string digest_;
  ModelConfig config_;
  Safetensors weights_;
};

// What a model directory is written from.
struct ModelContents {
  ModelFields fields;  // weights_sha256 is filled in by the writer
  std::vector<TensorData> tensors;
  std::map<std::string, std::string> extra_files;  // name to bytes
};

// Writes everything to a temporary folder beside `path`, syncs it and swaps it
// in: after a crash `path` holds the old model or the new one, whole.
// kInvalidArgument: the contents do not make a model; kUnavailable: I/O.
absl::Status WriteModelDir(const std::string& path, ModelContents contents);

}  // namespace spanlm
