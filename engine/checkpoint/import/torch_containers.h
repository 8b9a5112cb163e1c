// SPDX-License-Identifier: Apache-2.0
// The two containers of torch.save. Errors do not name the file.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "engine/checkpoint/import/torch_file.h"
#include "engine/checkpoint/mapped_file.h"

namespace spanlm {

// What a container holds.
struct TorchContents {
  Pickle object;
  std::unique_ptr<StorageReader> storages;
};

// The zip archive: ARCHIVE/data.pkl, ARCHIVE/data/KEY, ARCHIVE/byteorder.
absl::StatusOr<TorchContents> OpenTorchZip(const std::string& path,
                                           uint64_t file_size);

// The stream: magic number, protocol, system, object and list of keys, each a
// pickle; then of each key an element count and the elements.
absl::StatusOr<TorchContents> OpenTorchStream(MappedFile file);

}  // namespace spanlm
