// SPDX-License-Identifier: Apache-2.0
// Any bytes as a safetensors file: an error, or tensors whose bytes lie in it.
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/check.h"
#include "engine/checkpoint/safetensors.h"
#include "tests/fuzz/fuzz_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using spanlm::Safetensors;
  using spanlm::TensorView;
  const absl::StatusOr<Safetensors> file =
      Safetensors::Open(spanlm::FuzzFile(data, size));
  if (!file.ok()) return 0;
  for (const std::string& name : file->names()) {
    const absl::StatusOr<TensorView> view = file->Find(name);
    SPANLM_CHECK(view.ok());
    SPANLM_CHECK(static_cast<int64_t>(view->bytes.size()) ==
                 view->element_count() * SizeOf(view->dtype));
    const absl::StatusOr<std::vector<float>> floats = ToFloats(*view);
    SPANLM_CHECK(!floats.ok() ||
                 static_cast<int64_t>(floats->size()) == view->element_count());
  }
  return 0;
}
