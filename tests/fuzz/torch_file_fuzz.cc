// SPDX-License-Identifier: Apache-2.0
// Any bytes as a foreign checkpoint, through containers, unpickler and
// importers: an error, or a model that can be written.
#include <cstddef>
#include <cstdint>

#include "base/check.h"
#include "engine/checkpoint/import/import.h"
#include "engine/checkpoint/import/pickle.h"
#include "engine/checkpoint/safetensors.h"
#include "tests/fuzz/fuzz_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using spanlm::ModelContents;
  // The bytes as a pickle too: a zip's checksums would hide it.
  (void)spanlm::Pickle::Parse({reinterpret_cast<const char*>(data), size});
  spanlm::ImportOptions options;
  options.settings = {{"block_rounding", "4"}};
  const absl::StatusOr<ModelContents> contents =
      spanlm::ImportModel(spanlm::FuzzFile(data, size), options);
  if (!contents.ok()) return 0;
  SPANLM_CHECK(spanlm::SerializeSafetensors(contents->tensors).ok());
  return 0;
}
