// SPDX-License-Identifier: Apache-2.0
#include "engine/model/layers.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Functions.h>

#include <cstdint>
#include <set>
#include <vector>

#include "gtest/gtest.h"

namespace spanlm {
namespace {

std::vector<float> Values(const at::Tensor& tensor) {
  const at::Tensor x = tensor.contiguous();
  return std::vector<float>(x.const_data_ptr<float>(),
                            x.const_data_ptr<float>() + x.numel());
}

// Rows of one number each, [1, count, 1]: first, first + 1, …
at::Tensor Rows(int64_t first, int64_t count) {
  return at::arange(first, first + count, at::TensorOptions().dtype(at::kFloat))
      .view({1, count, 1});
}

TEST(KeepLastRowsTest, KeepsTheNewestOfMemoryAndInput) {
  EXPECT_EQ(Values(KeepLastRows(Rows(0, 5), Rows(5, 3), 4)),
            (std::vector<float>{4, 5, 6, 7}));
  EXPECT_EQ(Values(KeepLastRows(Rows(0, 5), Rows(5, 3), 2)),
            (std::vector<float>{6, 7}));
  EXPECT_EQ(Values(KeepLastRows(Rows(0, 2), Rows(2, 1), 9)),
            (std::vector<float>{0, 1, 2}));
  EXPECT_EQ(Values(KeepLastRows(Rows(0, 0), Rows(0, 2), 9)),
            (std::vector<float>{0, 1}));
}

TEST(KeepLastRowsTest, CutsTheGraphAndOwnsItsMemory) {
  at::Tensor input = Rows(0, 4);
  input.set_requires_grad(true);
  const at::Tensor kept = KeepLastRows(Rows(0, 2), input, 3);
  EXPECT_FALSE(kept.requires_grad());
  EXPECT_FALSE(kept.is_alias_of(input));
}

PassOptions Seeded(uint64_t seed) {
  PassOptions pass;
  pass.generator = at::make_generator<at::CPUGeneratorImpl>(seed);
  return pass;
}

TEST(DropoutTest, KeepsTheMeanAndFollowsItsSeed) {
  const at::Tensor ones = at::ones({100000});
  const std::vector<float> dropped = Values(Dropout(ones, 0.2, Seeded(1)));
  const std::set<float> values(dropped.begin(), dropped.end());
  EXPECT_EQ(values, (std::set<float>{0, 1.25F}));
  double sum = 0;
  for (const float value : dropped) sum += value;
  EXPECT_NEAR(sum / 100000, 1, 0.01);
  EXPECT_EQ(Values(Dropout(ones, 0.2, Seeded(1))), dropped);
  EXPECT_NE(Values(Dropout(ones, 0.2, Seeded(2))), dropped);
}

TEST(DropoutTest, DrawsNothingAtRateZero) {
  const at::Tensor x = Rows(0, 3);
  EXPECT_TRUE(Dropout(x, 0, PassOptions()).is_same(x));
  EXPECT_FALSE(DropoutFactors({3}, x.options(), 0, PassOptions()).defined());
}

}  // namespace
}  // namespace spanlm
