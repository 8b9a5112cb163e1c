// SPDX-License-Identifier: Apache-2.0
#include "train/optimizer.h"

#include <ATen/Functions.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/support/golden_case.h"
#include "tests/support/memory_model.h"
#include "tests/support/status_matchers.h"

namespace spanlm {
namespace {

using Values = std::vector<double>;

at::Tensor Make(const Values& values, at::IntArrayRef shape,
                at::ScalarType type = at::kDouble) {
  at::Tensor tensor = at::empty(shape, at::TensorOptions().dtype(at::kDouble));
  std::copy(values.begin(), values.end(), tensor.data_ptr<double>());
  return tensor.to(type);
}

NamedTensor Parameter(const std::string& name, const Values& values,
                      at::IntArrayRef shape,
                      at::ScalarType type = at::kDouble) {
  at::Tensor tensor = Make(values, shape, type);
  tensor.set_requires_grad(true);
  return {name, tensor};
}
NamedTensor Vector(const std::string& name, const Values& values,
                   at::ScalarType type = at::kDouble) {
  return Parameter(name, values, {static_cast<int64_t>(values.size())}, type);
}

void SetGradient(const NamedTensor& parameter, const Values& values) {
  at::Tensor tensor = parameter.tensor;
  tensor.mutable_grad() = Make(values, tensor.sizes(), tensor.scalar_type());
}

Values Read(const at::Tensor& tensor) {
  const at::Tensor x = tensor.detach().to(at::kDouble).contiguous();
  return Values(x.const_data_ptr<double>(),
                x.const_data_ptr<double>() + x.numel());
}

void ExpectNear(const Values& values, const Values& expected,
                double tolerance) {
  ASSERT_EQ(values.size(), expected.size());
  for (size_t i = 0; i < values.size(); ++i) {
    EXPECT_NEAR(values[i], expected[i], tolerance) << "element " << i;
  }
}

void ExpectPublishedAdagrad(const nlohmann::json& c, at::ScalarType type,
                            const char* after, double tolerance) {
  OptimizerOptions options;
  options.adagrad_clip = c["clip"];
  std::vector<NamedTensor> parameters;
  for (const Values& values : c["theta0"].get<std::vector<Values>>()) {
    parameters.push_back(
        Vector(std::to_string(parameters.size()), values, type));
  }
  const auto optimizer = NewOptimizer(options, parameters);
  for (size_t step = 0; step < c["gradients"].size(); ++step) {
    SCOPED_TRACE(testing::Message() << c["name"] << " step " << step);
    for (size_t i = 0; i < parameters.size(); ++i) {
      SetGradient(parameters[i], c["gradients"][step][i]);
    }
    optimizer->Step(c["lr_per_step"].is_null()
                        ? c["lr"].get<double>()
                        : c["lr_per_step"][step].get<double>());
    const std::vector<NamedTensor> state = optimizer->State();
    ASSERT_EQ(state.size(), parameters.size());
    for (size_t i = 0; i < parameters.size(); ++i) {
      const nlohmann::json& expected = c[after][step];
      ExpectNear(Read(parameters[i].tensor), expected["theta"][i], tolerance);
      ExpectNear(Read(state[i].tensor), expected["sum"][i], tolerance);
    }
  }
}

// Tolerances of the set's README.
TEST(OptimizerGoldenTest, AdagradIsThePublishedOne) {
  if (!IsThere("adagrad_vector.json")) {
    GTEST_SKIP() << GoldenPath("adagrad_vector.json") << " is not here";
  }
  const nlohmann::json golden = GoldenJson("adagrad_vector.json");
  ASSERT_FALSE(golden["cases"].empty());
  for (const nlohmann::json& c : golden["cases"]) {
    ExpectPublishedAdagrad(c, at::kFloat, "after_each_step_float32", 3e-8);
    ExpectPublishedAdagrad(c, at::kDouble, "after_each_step_float64", 1e-15);
  }
}

TEST(OptimizerTest, AdagradClipsEachTensorOnItsOwn) {
  OptimizerOptions options;
  options.adagrad_clip = 0.5;
  const std::vector<NamedTensor> parameters = {Vector("large", {0, 0}),
                                               Vector("small", {0})};
  const auto optimizer = NewOptimizer(options, parameters);
  SetGradient(parameters[0], {3, 4});
  SetGradient(parameters[1], {-0.4});

  const StepReport report = optimizer->Step(0.1);

  // The first step moves by the rate; the clip makes that a tenth of it.
  ExpectNear(Read(parameters[0].tensor), {-0.01, -0.01}, 1e-9);
  ExpectNear(Read(parameters[1].tensor), {0.1}, 1e-9);
  EXPECT_NEAR(report.gradient_norm, std::sqrt(25 + 0.16), 1e-12);
  EXPECT_FALSE(report.clipped);
}

// Adam of one element as its paper writes it.
struct PlainAdam {
  double value, m = 0, v = 0;
  int step = 0;

  void Step(double gradient, double lr, double decay) {
    ++step;
    m = 0.9 * m + 0.1 * gradient;
    v = 0.999 * v + 0.001 * gradient * gradient;
    const double mean = m / (1 - std::pow(0.9, step));
    const double square = v / (1 - std::pow(0.999, step));
    value -= lr * decay * value + lr * mean / (std::sqrt(square) + 1e-8);
  }
};

TEST(OptimizerTest, AdamClipsAllTensorsByOneFactorAndDecaysMatricesOnly) {
  OptimizerOptions options;
  options.kind = OptimizerKind::kAdam;
  options.clip_norm = 1;
  options.weight_decay = 0.1;
  const std::vector<NamedTensor> parameters = {
      Parameter("matrix.weight", {2}, {1, 1}), Vector("bias", {-3})};
  const auto optimizer = NewOptimizer(options, parameters);
  PlainAdam matrix{2}, bias{-3};
  const Values gradients[] = {{3, 4}, {0.1, -0.2}, {0, 8}};
  for (const Values& g : gradients) {
    SetGradient(parameters[0], {g[0]});
    SetGradient(parameters[1], {g[1]});
    const double norm = std::hypot(g[0], g[1]);
    const double factor = std::min(1.0, 1 / (norm + 1e-6));

    const StepReport report = optimizer->Step(0.01);

    matrix.Step(g[0] * factor, 0.01, 0.1);
    bias.Step(g[1] * factor, 0.01, 0);
    EXPECT_NEAR(report.gradient_norm, norm, 1e-12);
    EXPECT_EQ(report.clipped, norm > 1);
    ExpectNear(Read(parameters[0].tensor), {matrix.value}, 1e-12);
    ExpectNear(Read(parameters[1].tensor), {bias.value}, 1e-12);
  }
}

TEST(OptimizerTest, AdamClipsSpansApartFromAllElse) {
  OptimizerOptions options;
  options.kind = OptimizerKind::kAdam;
  options.clip_norm = 1;
  const std::vector<NamedTensor> parameters = {
      Vector("layers.0.attn.attn.adaptive_span._mask.current_val", {0.5}),
      Vector("bias", {0.5})};
  const auto optimizer = NewOptimizer(options, parameters);
  PlainAdam span{0.5}, bias{0.5};
  const Values gradients[] = {{200, 0.5}, {-0.5, 0.1}};
  for (const Values& g : gradients) {
    SetGradient(parameters[0], {g[0]});
    SetGradient(parameters[1], {g[1]});

    const StepReport report = optimizer->Step(0.01);

    span.Step(g[0] * std::min(1.0, 1 / (std::abs(g[0]) + 1e-6)), 0.01, 0);
    bias.Step(g[1], 0.01, 0);
    EXPECT_NEAR(report.gradient_norm, g[1], 1e-12);
    EXPECT_FALSE(report.clipped);
    ExpectNear(Read(parameters[0].tensor), {span.value}, 1e-12);
    ExpectNear(Read(parameters[1].tensor), {bias.value}, 1e-12);
  }
}

TEST(OptimizerTest, LeavesWhatHasNoGradient) {
  for (const OptimizerKind kind :
       {OptimizerKind::kAdagradWithGradClip, OptimizerKind::kAdam}) {
    OptimizerOptions options;
    options.kind = kind;
    const std::vector<NamedTensor> parameters = {Vector("still", {1}),
                                                 Vector("moved", {1})};
    const auto optimizer = NewOptimizer(options, parameters);
    SetGradient(parameters[1], {1});

    optimizer->Step(0.1);

    EXPECT_EQ(Read(parameters[0].tensor), Values{1});
    EXPECT_LT(Read(parameters[1].tensor)[0], 1);
  }
}

TEST(OptimizerTest, NormsAndStepsOfALongTensorCoverAllItsPieces) {
  const int64_t size = (1 << 15) + 7;
  const std::vector<NamedTensor> parameters = {Vector("long", Values(size, 0))};
  const auto optimizer = NewOptimizer({}, parameters);
  SetGradient(parameters[0], Values(size, 2));

  const StepReport report = optimizer->Step(0.1);

  EXPECT_NEAR(report.gradient_norm, 2 * std::sqrt(size), 1e-9);
  ExpectNear(Read(parameters[0].tensor), Values(size, -0.1), 1e-9);
}

TEST(OptimizerTest, RestoresItsStateAndNamesWhatIsMissingOrMisshapen) {
  OptimizerOptions options;
  options.kind = OptimizerKind::kAdam;
  const std::vector<NamedTensor> parameters = {Vector("x", {1, 2}, at::kFloat)};
  const auto optimizer = NewOptimizer(options, parameters);
  MemoryTensors state;
  state.Set("adam_m.x", {2}, {0.5F, 0.25F});
  EXPECT_THAT(optimizer->Restore(state, 4),
              StatusIs(absl::StatusCode::kNotFound, "adam_v.x"));
  state.Set("adam_v.x", {1}, {0.5F});
  EXPECT_THAT(optimizer->Restore(state, 4),
              StatusIs(absl::StatusCode::kDataLoss,
                       "tensor adam_v.x is [1], want [2]"));
  EXPECT_EQ(optimizer->step_count(), 0);
  state.Set("adam_v.x", {2}, {2, 3});

  ASSERT_OK(optimizer->Restore(state, 4));

  EXPECT_EQ(optimizer->step_count(), 4);
  EXPECT_EQ(Read(optimizer->State()[0].tensor), (Values{0.5, 0.25}));
  EXPECT_EQ(Read(optimizer->State()[1].tensor), (Values{2, 3}));
}

}  // namespace
}  // namespace spanlm
