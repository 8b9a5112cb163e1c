// SPDX-License-Identifier: Apache-2.0
#include "engine/tensor_view.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace spanlm {
namespace {

using testing::ElementsAre;

// A view of `values`, which lie one byte off any alignment.
template <typename Stored>
struct Unaligned {
  explicit Unaligned(DType dtype, const std::vector<Stored>& values)
      : bytes(1 + values.size() * sizeof(Stored), '\0') {
    std::memcpy(bytes.data() + 1, values.data(),
                values.size() * sizeof(Stored));
    view.name = "t";
    view.dtype = dtype;
    view.shape = {static_cast<int64_t>(values.size())};
    view.bytes = {reinterpret_cast<const std::byte*>(bytes.data()) + 1,
                  bytes.size() - 1};
  }
  std::string bytes;
  TensorView view;
};

TEST(TensorViewTest, WidensHalvesExactly) {
  const Unaligned<uint16_t> halves(
      DType::kF16, {0x0000, 0x8000, 0x3c00, 0xc000, 0x7bff, 0x0400, 0x0001,
                    0x03ff, 0x8001, 0x7c00, 0xfc00});

  ASSERT_OK_AND_ASSIGN(const std::vector<float> floats, ToFloats(halves.view));

  EXPECT_THAT(floats, ElementsAre(0.0F, -0.0F, 1.0F, -2.0F, 65504.0F, 0x1p-14F,
                                  0x1p-24F, 1023 * 0x1p-24F, -0x1p-24F,
                                  std::numeric_limits<float>::infinity(),
                                  -std::numeric_limits<float>::infinity()));
  EXPECT_TRUE(std::signbit(floats[1]));
}

TEST(TensorViewTest, KeepsHalvesThatAreNoNumbers) {
  const Unaligned<uint16_t> halves(DType::kF16, {0x7e00, 0xfe01});

  ASSERT_OK_AND_ASSIGN(const std::vector<float> floats, ToFloats(halves.view));

  EXPECT_TRUE(std::isnan(floats[0]));
  EXPECT_TRUE(std::isnan(floats[1]));
}

TEST(TensorViewTest, WidensBfloat16Exactly) {
  const Unaligned<uint16_t> values(DType::kBF16, {0x3f80, 0xc049, 0x0001});

  ASSERT_OK_AND_ASSIGN(const std::vector<float> floats, ToFloats(values.view));

  EXPECT_THAT(floats, ElementsAre(1.0F, -3.140625F, 0x1p-133F));
}

TEST(TensorViewTest, KeepsFloatsAndRoundsDoubles) {
  const Unaligned<float> floats(DType::kF32, {0.1F, -3e38F});
  const Unaligned<double> doubles(DType::kF64, {0.1, 1 + 0x1p-30});

  ASSERT_OK_AND_ASSIGN(const std::vector<float> same, ToFloats(floats.view));
  ASSERT_OK_AND_ASSIGN(const std::vector<float> rounded,
                       ToFloats(doubles.view));

  EXPECT_THAT(same, ElementsAre(0.1F, -3e38F));
  EXPECT_THAT(rounded, ElementsAre(0.1F, 1.0F));
}

TEST(TensorViewTest, RefusesIntegersAndNamesTheTensor) {
  const Unaligned<int32_t> integers(DType::kI32, {1});

  EXPECT_THAT(ToFloats(integers.view),
              StatusIs(absl::StatusCode::kInvalidArgument, "tensor t is I32"));
}

TEST(TensorViewTest, CountsElements) {
  TensorView view;
  EXPECT_EQ(view.element_count(), 1);  // no dimension: a single number
  view.shape = {2, 3, 5};
  EXPECT_EQ(view.element_count(), 30);
  view.shape = {2, 0};
  EXPECT_EQ(view.element_count(), 0);
}

TEST(TensorViewTest, KnowsSizesAndNames) {
  EXPECT_EQ(SizeOf(DType::kBF16), 2);
  EXPECT_EQ(SizeOf(DType::kF64), 8);
  EXPECT_EQ(SizeOf(DType::kBool), 1);
  EXPECT_EQ(Name(DType::kBool), "BOOL");
  EXPECT_EQ(Name(DType::kI64), "I64");
}

}  // namespace
}  // namespace spanlm
