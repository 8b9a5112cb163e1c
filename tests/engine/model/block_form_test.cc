// SPDX-License-Identifier: Apache-2.0
// Both architectures in block form: no block size changes a result, and the
// result is what the recursion gives symbol after symbol.
#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "engine/model/byte_model.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/engine/attention/random_tensor.h"
#include "tests/support/dense_model.h"
#include "tests/support/memory_model.h"
#include "tests/support/status_matchers.h"

namespace spanlm {
namespace {

constexpr int64_t kRows = 2, kLength = 300;
const std::vector<float> kSpans = {0, 0.02F, 0.3F, 0.9F};

std::vector<uint16_t> Text(int64_t row) {
  return RandomSymbols(kLength, 40, static_cast<uint32_t>(10 + row));
}

at::Tensor Tokens() {
  at::Tensor tokens =
      at::empty({kRows, kLength}, at::TensorOptions().dtype(at::kLong));
  for (int64_t row = 0; row < kRows; ++row) {
    const std::vector<uint16_t> text = Text(row);
    std::copy(text.begin(), text.end(),
              tokens.data_ptr<int64_t>() + row * kLength);
  }
  return tokens;
}

// ln P [rows, length, vocab] read in blocks of `sizes`, repeated.
at::Tensor ReadInBlocks(const ByteModel& model,
                        const std::vector<int64_t>& sizes,
                        Precision precision = Precision::kFull) {
  at::NoGradGuard no_grad;
  PassOptions pass;
  pass.precision = precision;
  const at::Tensor tokens = Tokens();
  ModelMemory memory = model.NewMemory(kRows, pass);
  std::vector<at::Tensor> parts;
  for (int64_t done = 0, i = 0; done < kLength; ++i) {
    const int64_t count = std::min(sizes[i % sizes.size()], kLength - done);
    parts.push_back(
        model.Forward(tokens.narrow(1, done, count), pass, &memory));
    done += count;
  }
  return at::log_softmax(at::cat(parts, 1), -1);
}

// Log-probabilities of the plain twin, which has no epsilon in its renormaliser
// (the published vectors give the same bound for that).
constexpr double kExact = 1e-11;
constexpr double kWithoutEpsilon = 3e-5;

struct ModelCase {
  std::string name;
  ModelFields fields;
  double tolerance = kExact;
  bool is_untied = false;
};

void PrintTo(const ModelCase& c, std::ostream* os) { *os << c.name; }

MemoryModel MemoryOf(const ModelCase& c) {
  MemoryModel model = RandomModel(c.fields, kSpans, 3);
  if (c.is_untied) UntieOutput(4, &model);
  return model;
}

std::unique_ptr<ByteModel> Load(const ModelCase& c,
                                at::ScalarType type = at::kDouble) {
  const MemoryModel model = MemoryOf(c);
  return *LoadByteModel(model.config, model.tensors, type);
}

std::unique_ptr<ByteModel> Load(const ModelFields& fields) {
  return Load(ModelCase{"", fields});
}

std::vector<ModelCase> Cases() {
  ModelFields fairseq = SmallAdaptiveSpan();
  fairseq.renormalize = false;
  ModelFields one_span = SmallAdaptiveSpan();
  one_span.adapt_span_layer = true;
  ModelFields clamped = SmallTransformerXl();
  clamped.clamp_len = 20;
  clamped.tie_biases = true;
  return {{"adaptive_span", SmallAdaptiveSpan(), kWithoutEpsilon},
          {"unrenormalized", fairseq},
          {"one_span_a_layer", one_span, kWithoutEpsilon},
          {"transformer_xl", SmallTransformerXl()},
          {"clamped_tied", clamped},
          {"untied_output", SmallTransformerXl(), kExact, true}};
}

// The plain twin, as the memory of the others, starts with zeros.
ModelCase EmptyMemory() {
  ModelFields fields = SmallTransformerXl();
  fields.memory_start = MemoryStart::kEmpty;
  return {"empty_memory", fields};
}

class BlockFormTest : public testing::TestWithParam<ModelCase> {};
class BlockFormTwinTest : public BlockFormTest {};

TEST_P(BlockFormTest, NoPartitionChangesAScore) {
  const auto model = Load(GetParam());
  const at::Tensor whole = ReadInBlocks(*model, {kLength});
  for (const std::vector<int64_t>& sizes :
       {std::vector<int64_t>{1}, {16}, {5, 1, 64, 3, 130}}) {
    EXPECT_LE(LargestDifference(ReadInBlocks(*model, sizes), whole), 1e-12)
        << testing::PrintToString(sizes);
  }
}

TEST_P(BlockFormTwinTest, IsTheRecursionOfItsFormulas) {
  MemoryModel model = MemoryOf(GetParam());
  const auto block_form = Load(GetParam());
  // Frequencies are single precision, as in published files.
  for (const NamedTensor& buffer : block_form->buffers()) {
    const at::Tensor values = buffer.tensor.to(at::kFloat);
    const float* first = values.const_data_ptr<float>();
    model.tensors.Set(buffer.name, {values.numel()},
                      {first, first + values.numel()});
  }
  const at::Tensor found = ReadInBlocks(*block_form, {16});
  const std::vector<uint16_t> text = Text(1);
  const auto expected = DenseLogProbs(model.config, model.tensors, text);
  const int64_t vocab = found.size(2);
  double worst = 0;
  for (int64_t t = 0; t < kLength; ++t) {
    const double* row = found.const_data_ptr<double>() + (kLength + t) * vocab;
    for (int64_t v = 0; v < vocab; ++v) {
      worst = std::max(worst, std::abs(row[v] - expected[t][v]));
    }
  }
  EXPECT_LE(worst, GetParam().tolerance);
}

TEST_P(BlockFormTest, IsNearInSinglePrecisionAndInBfloat16) {
  const at::Tensor exact = ReadInBlocks(*Load(GetParam()), {16});
  const auto model = Load(GetParam(), at::kFloat);
  EXPECT_LE(LargestDifference(ReadInBlocks(*model, {16}), exact), 1e-4);
  const at::Tensor rounded = ReadInBlocks(*model, {16}, Precision::kBf16);
  EXPECT_EQ(rounded.scalar_type(), at::kFloat);
  const at::Tensor difference = (rounded - exact).abs();
  EXPECT_LE(difference.mean().item<double>(), 0.05);
  EXPECT_GT(difference.max().item<double>(), 1e-4) << "not in bfloat16";
}

const auto kNameOf = [](const auto& info) { return info.param.name; };
INSTANTIATE_TEST_SUITE_P(Models, BlockFormTest, testing::ValuesIn(Cases()),
                         kNameOf);
INSTANTIATE_TEST_SUITE_P(Growing, BlockFormTest, testing::Values(EmptyMemory()),
                         kNameOf);
INSTANTIATE_TEST_SUITE_P(Models, BlockFormTwinTest, testing::ValuesIn(Cases()),
                         kNameOf);

TEST(AdaptiveSpanTest, KeepsAsManyInputsAsItsWindowsSay) {
  const auto model = Load(SmallAdaptiveSpan());
  const std::vector<LayerWindow> windows = model->windows();
  ASSERT_EQ(windows.size(), 2U);
  EXPECT_EQ(windows[0].window, 64);   // of spans 0 and 0.02
  EXPECT_EQ(windows[1].window, 128);  // of spans 0.3 and 0.9
  ModelMemory memory = model->NewMemory(kRows, {});
  model->Forward(Tokens(), {}, &memory);
  for (size_t i = 0; i < windows.size(); ++i) {
    EXPECT_EQ(memory.layers[i].size(1), windows[i].cache_rows);
    EXPECT_FALSE(memory.layers[i].requires_grad());
  }
}

TEST(AdaptiveSpanTest, SumsTheMeanSpanOfEveryLayerInPositions) {
  const auto model = Load(SmallAdaptiveSpan());
  EXPECT_NEAR(model->SpanSum().item<double>(),
              128 * ((0 + 0.02) / 2 + (0.3 + 0.9) / 2), 1e-5);
}

TEST(AdaptiveSpanTest, PutsSpansBackIntoTheirRangeWhenLoadedAndWhenAsked) {
  const MemoryModel memory = RandomModel(SmallAdaptiveSpan(), {-0.5F, 1.5F}, 3);
  ASSERT_OK_AND_ASSIGN(const auto model,
                       LoadByteModel(memory.config, memory.tensors));
  EXPECT_NEAR(model->SpanSum().item<double>(), 128, 1e-5);  // (0 + 1)/2 twice
}

TEST(ByteModelTest, NamesATensorThatIsMissingOrMisshapen) {
  for (const ModelFields& fields :
       {SmallAdaptiveSpan(), SmallTransformerXl()}) {
    MemoryModel memory = RandomModel(fields, kSpans, 3);
    const std::string name = fields.mem_len > 0
                                 ? "layers.1.pos_ff.CoreNet.3.bias"
                                 : "layers.1.ff.fc2.bias";
    memory.tensors.Set(name, {3}, {1, 2, 3});
    EXPECT_THAT(LoadByteModel(memory.config, memory.tensors),
                StatusIs(absl::StatusCode::kDataLoss,
                         "tensor " + name + " is [3], want [32]"));
    memory.tensors.Remove(name);
    EXPECT_THAT(LoadByteModel(memory.config, memory.tensors),
                StatusIs(absl::StatusCode::kNotFound, name.c_str()));
  }
}

TEST(ByteModelTest, NamesATensorThatHoldsWhatIsNoNumber) {
  for (const ModelFields& fields :
       {SmallAdaptiveSpan(), SmallTransformerXl()}) {
    const MemoryModel whole = RandomModel(fields, kSpans, 3);
    for (const std::string& name : whole.tensors.names()) {
      for (const float bad : {NAN, INFINITY}) {
        MemoryModel memory = whole;
        std::vector<float> values = whole.tensors.Get(name);
        values.back() = bad;
        ASSERT_OK_AND_ASSIGN(const TensorView view, whole.tensors.Find(name));
        memory.tensors.Set(name, view.shape, values);

        EXPECT_THAT(LoadByteModel(memory.config, memory.tensors),
                    StatusIs(absl::StatusCode::kDataLoss, name.c_str()));
      }
    }
  }
}

// A config.json of a few bytes may ask for any memory length.
TEST(ByteModelTest, RefusesAMemoryPastItsBound) {
  ModelFields fields = SmallTransformerXl();
  fields.mem_len = 1 << 24;
  const MemoryModel just = RandomModel(fields, kSpans, 3);
  EXPECT_OK(LoadByteModel(just.config, just.tensors));  // 2 layers of 32: 4 GiB
  fields.n_layer = 3;
  const MemoryModel beyond = RandomModel(fields, kSpans, 3);

  EXPECT_THAT(LoadByteModel(beyond.config, beyond.tensors),
              StatusIs(absl::StatusCode::kResourceExhausted,
                       "takes 6442450944 bytes, want at most 4294967296"));
}

}  // namespace
}  // namespace spanlm
