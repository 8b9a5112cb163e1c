// SPDX-License-Identifier: Apache-2.0
#include "engine/checkpoint/model_tensors.h"

#include <string>

#include "gtest/gtest.h"
#include "tests/engine/checkpoint/tiny_contents.h"
#include "tests/support/status_matchers.h"

namespace spanlm {
namespace {

// The published 12-layer shape.
ModelFields Published(Architecture architecture, int32_t vocab_size) {
  ModelFields fields;
  fields.architecture = architecture;
  fields.n_layer = 12;
  fields.d_model = 512;
  fields.n_head = 8;
  fields.d_head = 64;
  fields.d_inner = 2048;
  fields.vocab_size = vocab_size;
  if (architecture == Architecture::kAdaptiveSpan) {
    fields.attn_span = 8192;
  } else {
    fields.mem_len = 512;
  }
  return fields;
}

// Counts without making the tensors.
int64_t ParameterCount(const ModelFields& fields) {
  int64_t total = 0;
  for (const TensorSpec& spec : TensorsOf(*ModelConfig::Create(fields))) {
    TensorView view;
    view.shape = spec.shape;
    if (!spec.is_optional) total += view.element_count();
  }
  return total;
}

std::vector<TensorView> Views(const std::vector<TensorData>& tensors) {
  std::vector<TensorView> views;
  for (const TensorData& tensor : tensors) views.push_back(tensor.view());
  return views;
}

TEST(ModelTensorsTest, PublishedModelsHaveTheirPublishedSizes) {
  const auto adaptive_span = Architecture::kAdaptiveSpan;
  const auto transformer_xl = Architecture::kTransformerXl;
  ModelFields tied = Published(transformer_xl, 204);
  tied.tie_biases = true;
  ModelFields large = Published(adaptive_span, 205);
  large.n_layer = 24;
  large.d_model = 768;
  large.d_head = 96;
  large.d_inner = 4096;

  EXPECT_EQ(ParameterCount(Published(adaptive_span, 205)), 38'538'541);
  EXPECT_EQ(ParameterCount(Published(adaptive_span, 28)), 38'357'116);
  EXPECT_EQ(ParameterCount(Published(adaptive_span, 208)), 38'541'616);
  EXPECT_EQ(ParameterCount(large), 208'910'221);
  EXPECT_EQ(ParameterCount(tied), 41'055'436);
  EXPECT_EQ(ParameterCount(Published(transformer_xl, 208)), 41'068'752);
}

TEST(ModelTensorsTest, CountsStoredParametersButNoBuffers) {
  for (const ModelFields& fields :
       {TinyAdaptiveSpanFields(), TinyTransformerXlFields()}) {
    ASSERT_OK_AND_ASSIGN(const ModelConfig config, ModelConfig::Create(fields));
    const int64_t output =
        fields.architecture == Architecture::kTransformerXl ? 16 : 0;

    EXPECT_THAT(
        CountParameters(config, Views(TinyContents(fields).tensors)).value(),
        ParameterCount(fields));
    EXPECT_THAT(CountParameters(config, Views(TinyTensors(fields))).value(),
                ParameterCount(fields) + output);
  }
}

TEST(ModelTensorsTest, OneSpanForALayerHasOneElement) {
  ModelFields fields = TinyAdaptiveSpanFields();
  fields.adapt_span_layer = true;
  const std::string spans =
      "layers.1.attn.attn.adaptive_span._mask.current_val";

  for (const TensorSpec& spec : TensorsOf(*ModelConfig::Create(fields))) {
    if (spec.name == spans) {
      EXPECT_EQ(spec.shape, std::vector<int64_t>{1});
    }
  }
}

TEST(ModelTensorsTest, RefusesEachMissingTensorByName) {
  for (const ModelFields& fields :
       {TinyAdaptiveSpanFields(), TinyTransformerXlFields()}) {
    const std::vector<TensorData> whole = TinyContents(fields).tensors;
    for (size_t i = 0; i < whole.size(); ++i) {
      std::vector<TensorData> tensors = whole;
      tensors.erase(tensors.begin() + static_cast<ptrdiff_t>(i));

      const std::string message = "tensor " + whole[i].name + " is missing";
      EXPECT_THAT(CountParameters(*ModelConfig::Create(fields), Views(tensors)),
                  StatusIs(absl::StatusCode::kDataLoss, message.c_str()));
    }
  }
}

TEST(ModelTensorsTest, RefusesEachMisshapenTensorAndSaysBothShapes) {
  const ModelFields fields = TinyAdaptiveSpanFields();
  const std::vector<TensorData> whole = TinyTensors(fields);
  for (size_t i = 0; i < whole.size(); ++i) {
    std::vector<TensorData> tensors = whole;
    tensors[i].shape.push_back(1);

    EXPECT_THAT(CountParameters(*ModelConfig::Create(fields), Views(tensors)),
                StatusIs(absl::StatusCode::kDataLoss, whole[i].name.c_str()));
  }
  std::vector<TensorData> tensors = whole;
  tensors[0].shape = {1, 8, 2};
  EXPECT_THAT(CountParameters(*ModelConfig::Create(fields), Views(tensors)),
              StatusIs(absl::StatusCode::kDataLoss,
                       "tensor key_pe has shape [1, 8, 2], want [1, 2, 8]"));
}

TEST(ModelTensorsTest, RefusesIntegersAndStrangers) {
  const ModelFields fields = TinyAdaptiveSpanFields();
  std::vector<TensorData> tensors = TinyTensors(fields);
  tensors[0].dtype = DType::kI32;
  EXPECT_THAT(CountParameters(*ModelConfig::Create(fields), Views(tensors)),
              StatusIs(absl::StatusCode::kDataLoss, "tensor key_pe is I32"));

  tensors = TinyTensors(fields);
  tensors.push_back(tensors.back());
  tensors.back().name = "layers.2.norm1.bias";
  EXPECT_THAT(CountParameters(*ModelConfig::Create(fields), Views(tensors)),
              StatusIs(absl::StatusCode::kDataLoss,
                       "tensor layers.2.norm1.bias is not part of "
                       "adaptive_span"));
}

TEST(ModelTensorsTest, TakesEveryFloatingType) {
  const ModelFields fields = TinyAdaptiveSpanFields();
  for (const DType dtype : {DType::kF16, DType::kBF16, DType::kF64}) {
    std::vector<TensorData> tensors = TinyTensors(fields);
    for (TensorData& tensor : tensors) tensor.dtype = dtype;

    EXPECT_OK(CountParameters(*ModelConfig::Create(fields), Views(tensors)));
  }
}

}  // namespace
}  // namespace spanlm
