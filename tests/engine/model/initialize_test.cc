// SPDX-License-Identifier: Apache-2.0
// First values are of the published distributions (docs/model.md, 5.1).
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Functions.h>

#include <cmath>
#include <memory>
#include <string>

#include "absl/strings/match.h"
#include "engine/model/adaptive_span.h"
#include "engine/model/byte_model.h"
#include "gtest/gtest.h"
#include "tests/support/memory_model.h"
#include "tests/support/status_matchers.h"

namespace spanlm {
namespace {

constexpr double kD = 64, kInner = 256;

// Of at least a thousand values each, so that a few percent tell them apart.
ModelFields Wide(ModelFields fields) {
  fields.d_model = 64;
  fields.n_head = 2;
  fields.d_head = 32;
  fields.d_inner = 256;
  return fields;
}

std::unique_ptr<ByteModel> Initialized(const ModelFields& fields,
                                       Initialization initialization) {
  const absl::StatusOr<ModelConfig> config = ModelConfig::Create(fields);
  EXPECT_OK(config);
  std::unique_ptr<ByteModel> model = NewByteModel(*config);
  model->Initialize(initialization, at::detail::createCPUGenerator(7));
  return model;
}

at::Tensor Named(const ByteModel& model, const std::string& name) {
  for (const NamedTensor& parameter : model.parameters()) {
    if (parameter.name == name) return parameter.tensor.detach();
  }
  ADD_FAILURE() << name << " is no parameter";
  return at::zeros({1});
}

double Deviation(const at::Tensor& x) { return x.std(false).item<double>(); }
double Largest(const at::Tensor& x) { return x.abs().max().item<double>(); }

void ExpectNormal(const at::Tensor& x, double deviation) {
  EXPECT_NEAR(x.mean().item<double>(), 0, deviation / 10);
  EXPECT_NEAR(Deviation(x), deviation, deviation / 20);
  EXPECT_GT(Largest(x), 2.5 * deviation);
}

void ExpectUniform(const at::Tensor& x, double bound) {
  EXPECT_NEAR(Deviation(x), bound / std::sqrt(3), bound / 20);
  EXPECT_LE(Largest(x), bound);
  EXPECT_GT(Largest(x), 0.95 * bound);
}

TEST(InitializeTest, AdaptiveSpanAsFirstPublished) {
  const auto model =
      Initialized(Wide(SmallAdaptiveSpan()), Initialization::kOriginal);

  ExpectNormal(Named(*model, "in_emb.weight"), 1);
  ExpectNormal(Named(*model, "key_pe"), 1);
  ExpectUniform(Named(*model, "out_emb.weight"), 1 / std::sqrt(kD));
  ExpectUniform(Named(*model, "layers.1.attn.proj_key.weight"),
                1 / std::sqrt(kD));
  ExpectUniform(Named(*model, "layers.1.ff.fc1.weight"), 1 / std::sqrt(kD));
  ExpectUniform(Named(*model, "layers.1.ff.fc2.weight"), 1 / std::sqrt(kInner));
  EXPECT_EQ(Largest(Named(
                *model, "layers.1.attn.attn.adaptive_span._mask.current_val")),
            0);
  EXPECT_TRUE(Named(*model, "layers.1.norm1.weight").eq(1).all().item<bool>());
}

TEST(InitializeTest, AdaptiveSpanAsFairseqHasIt) {
  const auto model =
      Initialized(Wide(SmallAdaptiveSpan()), Initialization::kFairseq);

  ExpectNormal(Named(*model, "in_emb.weight"), 1 / std::sqrt(kD));
  ExpectNormal(Named(*model, "key_pe"), 1);
  ExpectUniform(Named(*model, "out_emb.weight"), 1 / std::sqrt(kD));
  ExpectNormal(Named(*model, "layers.0.attn.proj_out.weight"),
               1 / std::sqrt(kD));
  const double glorot = std::sqrt(6 / (kD + kInner));
  ExpectUniform(Named(*model, "layers.0.ff.fc1.weight"), glorot);
  ExpectUniform(Named(*model, "layers.0.ff.fc2.weight"), glorot);
}

TEST(InitializeTest, TransformerXl) {
  const auto model =
      Initialized(Wide(SmallTransformerXl()), Initialization::kOriginal);

  for (const NamedTensor& parameter : model->parameters()) {
    SCOPED_TRACE(parameter.name);
    const at::Tensor x = parameter.tensor.detach();
    if (absl::EndsWith(parameter.name, ".bias")) {
      EXPECT_EQ(Largest(x), 0);
    } else if (absl::StrContains(parameter.name, "layer_norm.")) {
      EXPECT_NEAR(x.mean().item<double>(), 1, 0.01);
      EXPECT_NEAR(Deviation(x), 0.02, 0.006);
    } else {
      EXPECT_NEAR(Deviation(x), 0.02, 0.006);
    }
  }
}

TEST(RoundMaskTemplateTest, IsOffByUpToTwoPositionsAndIsSaved) {
  ModelFields fields = SmallAdaptiveSpan();
  fields.attn_span = 8192;
  const auto model = Initialized(fields, Initialization::kOriginal);
  EXPECT_TRUE(model->buffers().empty());

  static_cast<AdaptiveSpan&>(*model).RoundMaskTemplate();

  ASSERT_EQ(model->buffers().size(), static_cast<size_t>(fields.n_layer));
  for (const NamedTensor& buffer : model->buffers()) {
    SCOPED_TRACE(buffer.name);
    // Position i of S stands for the distance S − 1 − i.
    const at::Tensor off =
        buffer.tensor.sub(at::arange(1 - fields.attn_span, 1)).abs();
    EXPECT_EQ(off.max().item<double>(), 2);
    EXPECT_EQ(off.narrow(0, fields.attn_span - 2048, 2048).max().item<double>(),
              0);
  }
}

}  // namespace
}  // namespace spanlm
