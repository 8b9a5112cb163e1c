// SPDX-License-Identifier: Apache-2.0
// The tensors of a foreign model by name, before they are read.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/checkpoint/import/torch_file.h"
#include "engine/checkpoint/model_dir.h"
#include "engine/model_config.h"

namespace spanlm {

// Names to tensors of a TorchFile, which must outlive it. Errors name the file
// and the tensor. One thread at a time.
class StateDict {
 public:
  explicit StateDict(TorchFile* file) : file_(file) {}

  // The tensors of a dict of names, those that begin with `prefix`, without
  // it. Entries that are no tensors are left out.
  static StateDict FromDict(TorchFile* file, const PickleNode& dict,
                            absl::string_view prefix);

  TorchFile& file() const { return *file_; }
  void Add(const std::string& name, const PickleTensor* tensor) {
    tensors_[name] = tensor;
  }
  // Takes `prefix` off the names that begin with it.
  void StripPrefix(absl::string_view prefix);

  bool Has(const std::string& name) const { return tensors_.count(name) > 0; }
  // Whether some name contains `part`.
  bool HasPart(absl::string_view part) const;
  // One more than the largest i of the names "layers.i.…"; 0: none.
  int32_t CountLayers() const;
  // A tensor's shape. kDataLoss: missing, or not of `dimensions` dimensions of
  // at most 2^30.
  absl::StatusOr<std::vector<int32_t>> Shape(const std::string& name,
                                             size_t dimensions) const;

  // Reads the tensors that a model of `fields` has, in their order. An output
  // weight equal to the embedding is left out: it is tied. kDataLoss: one is
  // missing or misshapen; kFailedPrecondition: one that no such model has.
  absl::StatusOr<ModelContents> Read(const ModelFields& fields);

 private:
  absl::Status Error(absl::StatusCode code, const std::string& name,
                     absl::string_view what) const;
  absl::Status CheckNames(const ModelConfig& config) const;

  TorchFile* file_;
  std::map<std::string, const PickleTensor*> tensors_;
};

}  // namespace spanlm
