// SPDX-License-Identifier: Apache-2.0
#include "bench/step_model.h"

#include <vector>

#include "base/check.h"
#include "tests/support/memory_model.h"

namespace spanlm {
namespace {

constexpr int kLayers = 12;
constexpr int kRamp = 32;
constexpr int kAttnSpan = 8192;

// Of a layer's heads, positions.
std::vector<float> ReachesOf(const std::string& profile, int layer) {
  if (profile == "uniform") return std::vector<float>(8, 332);
  SPANLM_CHECK(profile == "skewed");
  if (layer < kLayers / 3) return std::vector<float>(8, 64);
  if (layer < 2 * kLayers / 3) return {512, 256, 96, 96, 96, 96, 96, 96};
  return {4096, 1024, 384, 128, 128, 128, 128, 128};
}

// As a model stores them: without the ramp, fractions of attn_span.
std::vector<float> SpansOf(const std::string& profile) {
  std::vector<float> spans;
  for (int layer = 0; layer < kLayers; ++layer) {
    for (const float reach : ReachesOf(profile, layer)) {
      spans.push_back((reach - kRamp) / kAttnSpan);
    }
  }
  return spans;
}

}  // namespace

absl::StatusOr<std::unique_ptr<CpuEngine>> NewBenchEngine(
    const std::string& profile, int threads) {
  ModelFields fields;
  fields.n_layer = kLayers;
  fields.d_model = 512;
  fields.n_head = 8;
  fields.d_head = 64;
  fields.d_inner = 2048;
  fields.vocab_size = 256;
  fields.attn_span = kAttnSpan;
  fields.ramp = kRamp;
  const MemoryModel model = RandomModel(fields, SpansOf(profile), 1);
  EngineOptions options;
  options.threads = threads;
  return CpuEngine::Create(model.config, model.tensors, {}, options);
}

StepWork WorkOf(const Engine& engine) {
  const ModelConfig& config = engine.config();
  const double width = config->d_model;
  const double weights =
      config->n_layer * (4 * width * width + 2 * width * config->d_inner) +
      width * config->vocab_size;
  double reaches = 0;  // of all heads
  for (const std::vector<int32_t>& layer : engine.info().reaches) {
    for (const int32_t reach : layer) reaches += reach;
  }
  const double head_floats = reaches * config->d_head;
  StepWork work;
  work.weight_bytes = weights * sizeof(float);
  work.cache_bytes = 2 * head_floats * sizeof(float);
  // A product is a multiplication and an addition; a position's key, its
  // distance's key and its value take one each.
  work.flops_per_byte = 2 * (weights + 3 * head_floats);
  return work;
}

}  // namespace spanlm
