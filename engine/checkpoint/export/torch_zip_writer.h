// SPDX-License-Identifier: Apache-2.0
// Files of torch.save: a zip archive of a pickle and the tensors' memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/checkpoint/export/pickle_writer.h"

namespace spanlm {

// Collects tensors, then makes the archive of an object that holds them. Equal
// calls make equal files. One thread at a time.
class TorchZipWriter {
 public:
  // Data of entries begins at multiples of this many bytes, as torch.save has
  // it, so that a reader may map them.
  static constexpr size_t kAlignment = 64;
  // The archive has no 64-bit fields: it stays below this many bytes.
  static constexpr uint64_t kMaxBytes = 0xffffffff;

  // Keeps a copy of `values`, [Π shape] in C order, as a storage of its own;
  // gives the tensor that the object may hold any number of times.
  PickleValue AddTensor(absl::Span<const int64_t> shape,
                        absl::Span<const float> values);

  // The bytes of the file, entries "archive/data.pkl", "archive/byteorder",
  // "archive/data/N" and "archive/version", none compressed. Gives the
  // tensors' memory back as it goes. kOutOfRange: the file would reach
  // kMaxBytes.
  absl::StatusOr<std::string> Finish(const PickleValue& object) &&;

 private:
  std::vector<std::string> storages_;  // by key: "0", "1", …
};

}  // namespace spanlm
