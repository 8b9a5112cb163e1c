// SPDX-License-Identifier: Apache-2.0
// Files written by torch.save, in both containers: the zip archive since
// PyTorch 1.6, and the stream of pickles and storages before it.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/checkpoint/import/pickle.h"
#include "engine/checkpoint/safetensors.h"

namespace spanlm {

// The bytes of a file's storages.
class StorageReader {
 public:
  virtual ~StorageReader() = default;
  // The `size` bytes of `key`, valid until the next call. kDataLoss: missing,
  // of another size, or damaged.
  virtual absl::StatusOr<absl::string_view> Read(const std::string& key,
                                                 int64_t size) = 0;
};

// An opened file: its object as inert values, and the tensors among them. Where
// tensors lay (CPU, CUDA) is ignored. One thread at a time.
class TorchFile {
 public:
  // kNotFound, kDataLoss or kFailedPrecondition (no file of torch.save, or
  // written big-endian) names the file and the thing.
  static absl::StatusOr<TorchFile> Open(const std::string& path);

  const std::string& path() const { return path_; }
  const Pickle& object() const { return object_; }

  // The elements of a tensor of `object()` in C order, under `name`. kDataLoss
  // names the file and `name`.
  absl::StatusOr<TensorData> Read(const PickleTensor& tensor,
                                  const std::string& name);

 private:
  TorchFile(std::string path, Pickle object,
            std::unique_ptr<StorageReader> storages)
      : path_(std::move(path)),
        object_(std::move(object)),
        storages_(std::move(storages)) {}

  std::string path_;
  Pickle object_;
  std::unique_ptr<StorageReader> storages_;
};

}  // namespace spanlm
