// SPDX-License-Identifier: Apache-2.0
// Any bytes as config.json: an error, or a config that survives being written.
#include <cstddef>
#include <cstdint>

#include "base/check.h"
#include "engine/model_config.h"
#include "engine/symbol_map.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using spanlm::ModelConfig;
  const absl::StatusOr<ModelConfig> config =
      ModelConfig::FromJson({reinterpret_cast<const char*>(data), size});
  if (!config.ok()) return 0;
  const absl::StatusOr<ModelConfig> again =
      ModelConfig::FromJson(config->ToJson());
  SPANLM_CHECK(again.ok() && again->ToJson() == config->ToJson());
  SPANLM_CHECK(spanlm::SymbolMap::Create(*config).ok() ==
               config->knows_bytes());
  return 0;
}
